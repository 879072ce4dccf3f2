// What node-quickbooks makes of faults: the error of its HTTP client, with QuickBooks' body in it.
import { done, door, newInvoice, quickbooks, step } from './harness.mjs';

const qbo = quickbooks();
const call = (method, ...args) => done(qbo, method, ...args);
const switched = async (on, off, action) => {
  await door('switches', on, 'PUT');
  try {
    return await action();
  } finally {
    await door('switches', off, 'PUT');
  }
};

await step('6140', () => switched({ duplicateDocCheck: true }, { duplicateDocCheck: false }, async () => {
  await call('createInvoice', newInvoice({ DocNumber: 'TWICE' }));
  await call('createInvoice', newInvoice({ DocNumber: 'TWICE' }));
}));

await step('6140 waived', () => switched({ duplicateDocCheck: true }, { duplicateDocCheck: false }, async () => {
  const body = () => newInvoice({ DocNumber: 'TWICE', allowDuplicateDocNum: true });
  return { number: (await call('createInvoice', body())).DocNumber };
}));

await step('610', () => call('getInvoice', '999999'));

await step('610 deleted', async () => {
  const invoice = await call('createInvoice', newInvoice());
  await call('deleteInvoice', { Id: invoice.Id, SyncToken: invoice.SyncToken });
  await call('deleteInvoice', { Id: invoice.Id, SyncToken: invoice.SyncToken });
});

await step('5010', async () => {
  const customer = await call('createCustomer', { DisplayName: 'Stale' });
  await call('updateCustomer', { Id: customer.Id, SyncToken: '0', CompanyName: 'first' });
  await call('updateCustomer', { Id: customer.Id, SyncToken: '0', CompanyName: 'second' });
});

await step('2010', () => call('createInvoice', newInvoice({ Colour: 'red' })));

await step('2020', () => call('createInvoice', { CustomerRef: { value: '1' } }));

await step('4001', () => call('findInvoices', { NoSuchField: 'x' }));

await step('401', async () => {
  const dead = quickbooks({ ...await door('tokens') });
  await door('clock', { advanceSeconds: 3601 });
  await done(dead, 'getCustomer', '1');
});

await step('403', async () => {
  const { realmId } = await door('realms');
  await done(quickbooks({ ...await door('tokens'), realm_id: realmId }), 'getCustomer', '1');
});

await step('429', () => switched({ limitPerMinute: 1 }, { limitPerMinute: 0 }, async () => {
  const fresh = quickbooks(await door('tokens'));
  await done(fresh, 'getCustomer', '1');
  await done(fresh, 'getCustomer', '1');
}));

await step('error page', async () => {
  await door('faults', { match: { operation: 'read' }, effect: { html: true, status: 503 } });
  await done(quickbooks(await door('tokens')), 'getCustomer', '1');
});

// QuickBooks may answer 200 with a fault inside; the library calls back with the body itself.
await step('200 with a fault', async () => {
  const fresh = quickbooks(await door('tokens'));
  await door('faults', { match: { operation: 'read' }, effect: { status: 200, fault: '610' } });
  try {
    await done(fresh, 'getInvoice', '1');
  } catch (body) {
    return { code: body.Fault.Error[0].code };
  }
});
