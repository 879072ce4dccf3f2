"""The words the tables of properties are written in."""

Shape = str | tuple[str]
"""`string`, `number`, `bool`, `date`, `any`, the name of a structure, or a list of one as a 1-tuple."""

Fields = dict[str, Shape]


def each(shape: Shape, names: str) -> Fields:
    """The named properties, all of one shape."""
    return dict.fromkeys(names.split(), shape)


ENTITY: Fields = {
    **each("string", "Id SyncToken domain status"),
    "sparse": "bool",
    "MetaData": "MetaData",
    "CustomField": ("CustomField",),
    "AttachableRef": ("any",),
}
"""What every entity has (IntuitEntity)."""
