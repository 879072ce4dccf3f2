"""Transactions that leave the house: by e-mail, and as a PDF file."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from qbsync.simulator.entities.checks import limit_lengths
from qbsync.simulator.entities.sales import LENGTHS, check_address
from qbsync.simulator.faults import missing_parameters
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp

_PAGE = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>"


def mark_sent(document: JsonObject, now: datetime, *, send_to: str | None, keep_address: bool) -> None:
    """EmailStatus and DeliveryInfo of a transaction sent to BillEmail, or to `send_to`.

    Raises Refusal 2020 where there is no address, 2210 or 2050 where it is none.
    """
    address = send_to or document.get("BillEmail", {}).get("Address")
    if not address:
        raise missing_parameters("BillEmail")
    check_address(address)
    limit_lengths({"BillEmail": {"Address": address}}, LENGTHS)
    if send_to and keep_address:
        document["BillEmail"] = {"Address": send_to}
    document["EmailStatus"] = "EmailSent"
    document["DeliveryInfo"] = {"DeliveryType": "Email", "DeliveryTime": stamp(now)}


def pdf(title: str, document: Mapping[str, Any], company_name: str) -> bytes:
    """One page that names the company, the transaction, its customer and its total."""
    currency = document.get("CurrencyRef", {}).get("value", "")
    written = [
        company_name,
        f"{title} {document.get('DocNumber') or document['Id']}",
        str(document.get("CustomerRef", {}).get("name", "")),
        f"Date {document.get('TxnDate', '')}",
        f"Total {currency} {Decimal(document.get('TotalAmt', 0)):,.2f}",
    ]
    content = (
        "BT /F1 14 Tf 72 720 Td 24 TL " + " ".join(f"({_escaped(line)}) Tj T*" for line in written) + " ET"
    )
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        _PAGE,
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    return _file(objects)


def _file(objects: list[str]) -> bytes:
    """Objects with their table of offsets (PDF 1.4; ISO 32000)."""
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return data + f"{end}startxref\n{len(data)}\n%%EOF\n".encode("latin-1")


def _escaped(text: str) -> str:
    plain = text.encode("latin-1", "replace").decode("latin-1")
    return (
        plain.replace("\\", r"\\")
        .replace("(", r"\(")
        .replace(")", r"\)")
        .replace("\n", " ")
        .replace("\r", " ")
    )
