// node-quickbooks keeps a company's books.

import { done, door, newInvoice, oauthClient, quickbooks, ready, step } from './harness.mjs';

const qbo = quickbooks();
const call = (method, ...args) => done(qbo, method, ...args);
const found = async (criteria) => (await call('findInvoices', criteria)).QueryResponse;

await step('company', async () => {
  const info = await call('getCompanyInfo', qbo.realmId);
  const preferences = await call('getPreferences');
  return { country: info.Country, customNumbers: preferences.SalesFormsPrefs.CustomTxnNumbers };
});

await step('create', async () => {
  const customer = await call('createCustomer', { DisplayName: "Ada's Bakery & Söhne" });
  const item = await call('createItem', { Name: 'Baking', Type: 'Service', IncomeAccountRef: { value: '79' } });
  const invoice = await call('createInvoice',
    newInvoice({ DocNumber: 'N-1' }, 120.5, { customer: customer.Id, item: item.Id }));
  const read = await call('getInvoice', invoice.Id);
  return {
    name: invoice.CustomerRef.name,
    total: invoice.TotalAmt,
    balance: invoice.Balance,
    number: invoice.DocNumber,
    tokens: [customer.SyncToken, item.SyncToken, invoice.SyncToken],
    lines: invoice.Line.map((line) => line.DetailType),
    same: JSON.stringify(read) === JSON.stringify(invoice),
  };
});

await step('query', async () => {
  const customers = (await call('findCustomers', { DisplayName: "Ada's Bakery & Söhne" })).QueryResponse.Customer;
  const invoices = (await found([
    { field: 'DocNumber', value: ['N-1', '1001'], operator: 'IN' }, { field: 'TotalAmt', value: '120', operator: '>' },
  ])).Invoice;
  return {
    customers: customers.map((row) => row.DisplayName),
    numbers: invoices.map((row) => row.DocNumber),
    nothing: await found({ DocNumber: 'nobody' }),
    like: (await found([{ field: 'DocNumber', value: 'N-%', operator: 'LIKE' }])).Invoice.length,
  };
});

await step('count', async () => {
  const before = (await found({ count: true })).totalCount;
  await call('createInvoice', newInvoice({ DocNumber: 'N-2' }));
  return { more: (await found({ count: true })).totalCount - before };
});

await step('pages', async () => {
  for (let n = 0; n < 5; n += 1) await call('createInvoice', newInvoice({ DocNumber: `PAGE-${n}` }));
  const page = async (offset) => ((await found([
    { field: 'DocNumber', value: 'PAGE-%', operator: 'LIKE' },
    { field: 'limit', value: 2 }, { field: 'offset', value: offset }, { field: 'asc', value: 'DocNumber' },
  ])).Invoice ?? []).map((row) => row.DocNumber);
  const all = await found({ fetchAll: true, limit: 2, asc: 'DocNumber' });
  return {
    pages: [await page(1), await page(3), await page(5), await page(7)],
    all: all.Invoice.length === (await found({ count: true })).totalCount,
  };
});

await step('sparse update', async () => {
  const before = await call('createInvoice', newInvoice({ DocNumber: 'N-3', PrivateNote: 'before' }));
  const after = await call('updateInvoice', { Id: before.Id, SyncToken: before.SyncToken, PrivateNote: 'after' });
  return { token: after.SyncToken, note: after.PrivateNote, number: after.DocNumber, total: after.TotalAmt };
});

await step('full update', async () => {
  const before = await call('createInvoice', newInvoice({ DocNumber: 'N-4', PrivateNote: 'before' }));
  const { PrivateNote, ...kept } = before;
  const after = await call('updateInvoice', { ...kept, Line: newInvoice({}, 70).Line });
  return { token: after.SyncToken, note: after.PrivateNote ?? null, number: after.DocNumber, total: after.TotalAmt };
});

await step('inactive', async () => {
  const customer = await call('createCustomer', { DisplayName: 'Gone' });
  const { Active } = await call('updateCustomer', { Id: customer.Id, SyncToken: '0', Active: false });
  const rows = (await call('findCustomers', [{ field: 'Id', value: customer.Id }])).QueryResponse.Customer ?? [];
  return { active: Active, listed: rows.length };
});

await step('void', async () => {
  const invoice = await call('createInvoice', newInvoice({ DocNumber: 'N-5' }));
  const voided = await call('voidInvoice', invoice.Id);
  const { TotalAmt, Balance, PrivateNote, DocNumber, SyncToken } = voided.Invoice;
  return { TotalAmt, Balance, PrivateNote, DocNumber, SyncToken };
});

await step('delete', async () => {
  const invoice = await call('createInvoice', newInvoice({ DocNumber: 'N-6' }));
  const gone = (await call('deleteInvoice', invoice.Id)).Invoice;
  return { ...gone, same: gone.Id === invoice.Id, left: await found({ DocNumber: 'N-6' }) };
});

// The library sets no content type, and its HTTP client makes a form of a POST without one (axios, dispatchRequest.js);
// QuickBooks wants application/octet-stream here.
await step('send', async () => {
  const invoice = await call('createInvoice', newInvoice());
  return call('sendInvoicePdf', invoice.Id, 'ada@example.com');
});

await step("send with Intuit's client", async () => {
  const invoice = await call('createInvoice', newInvoice());
  const client = oauthClient({ token: ready });
  const answer = await client.makeApiCall({
    url: `/v3/company/${qbo.realmId}/invoice/${invoice.Id}/send`,
    method: 'POST',
    params: { sendTo: 'ada@example.com' },
    headers: { 'Content-Type': 'application/octet-stream' },
  });
  const sent = answer.json.Invoice;
  return { status: sent.EmailStatus, to: sent.BillEmail.Address, how: sent.DeliveryInfo.DeliveryType };
});

await step('pdf', async () => {
  const pdf = await call('getInvoicePdf', (await call('createInvoice', newInvoice())).Id);
  return { start: Buffer.from(pdf).subarray(0, 5).toString() };
});

await step('payment', async () => {
  const invoice = await call('createInvoice', newInvoice());
  const payment = await call('createPayment', {
    CustomerRef: { value: '1' },
    TotalAmt: 60,
    Line: [{ Amount: 60, LinkedTxn: [{ TxnId: invoice.Id, TxnType: 'Invoice' }] }],
  });
  const paid = await call('getInvoice', invoice.Id);
  await call('voidPayment', { Id: payment.Id, SyncToken: payment.SyncToken });
  return {
    balance: paid.Balance,
    linked: paid.LinkedTxn.some((link) => link.TxnId === payment.Id && link.TxnType === 'Payment'),
    after: (await call('getInvoice', invoice.Id)).Balance,
  };
});

await step('batch', async () => {
  const old = await call('createInvoice', newInvoice({ DocNumber: 'N-7' }));
  const { BatchItemResponse } = await call('batch', [
    { bId: 'good', operation: 'create', Customer: { DisplayName: 'Batch' } },
    { bId: 'bad', operation: 'create', Customer: { DisplayName: 'Batch' } },
    { bId: 'change', operation: 'update', Invoice: { Id: old.Id, SyncToken: '0', sparse: true, PrivateNote: 'x' } },
    { bId: 'ask', Query: "select * from Invoice where DocNumber = 'N-7'" },
    { bId: 'gone', operation: 'delete', Invoice: { Id: old.Id, SyncToken: '1' } },
  ]);
  const by = Object.fromEntries(BatchItemResponse.map((item) => [item.bId, item]));
  return {
    good: by.good.Customer.DisplayName,
    bad: by.bad.Fault.Error[0].code,
    change: by.change.Invoice.PrivateNote,
    ask: by.ask.QueryResponse.Invoice.length,
    gone: by.gone.Invoice.status,
  };
});

await step('changes', async () => {
  const since = new Date(Date.now() - 300000);
  const kept = await call('createInvoice', newInvoice());
  const gone = await call('createInvoice', newInvoice());
  await call('deleteInvoice', gone);
  const { CDCResponse } = await call('changeDataCapture', ['Invoice', 'Customer'], since);
  const rows = CDCResponse[0].QueryResponse.flatMap((part) => part.Invoice ?? []);
  const status = (id) => rows.find((row) => row.Id === id)?.status ?? null;
  return { kept: status(kept.Id), gone: status(gone.Id), known: rows.some((row) => row.Id === kept.Id) };
});

await step('requestid', async () => {
  const first = await call('createInvoice', newInvoice({ DocNumber: 'N-8', requestId: 'once-1' }));
  const second = await call('createInvoice', newInvoice({ DocNumber: 'N-8', requestId: 'once-1' }));
  const third = await call('createInvoice', newInvoice({ DocNumber: 'N-8', requestId: 'once-2' }));
  return { replayed: first.Id === second.Id, another: third.Id !== first.Id };
});

await step('lost answer', async () => {
  await door('faults', { match: { operation: 'create' }, effect: { drop: 'after' } });
  let code = '';
  const body = () => newInvoice({ DocNumber: 'N-9', requestId: 'lost-1' });
  await call('createInvoice', body()).catch((error) => { code = error.code; });
  const again = await call('createInvoice', body());
  return { code, one: (await found({ DocNumber: 'N-9' })).Invoice.map((row) => row.Id === again.Id) };
});
