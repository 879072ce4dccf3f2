// What the stories share: steps that report themselves, the simulator's control door, a person who gives consent.
import OAuthClient from 'intuit-oauth';
import QuickBooks from 'node-quickbooks';

/** The line that the simulator printed when it was ready, or the answer to its reset. */
export const ready = JSON.parse(process.argv[2]);
const base = ready.baseUrl;
export const CALLBACK = 'http://localhost:8000/callback';

/** Runs one step and prints one JSON line about it: what it found, or what was thrown at it. */
export async function step(name, action) {
  let facts;
  try {
    facts = await action();
  } catch (error) {
    facts = { thrown: describe(error) };
  }
  console.log(JSON.stringify({ step: name, ...facts }));
}

function describe(error) {
  const fault = error.response?.data?.Fault?.Error?.[0] ?? error.response?.data?.fault?.error?.[0] ?? {};
  return {
    class: error.constructor.name,
    name: error.name,
    message: error.message,
    code: error.code,
    error: error.error,
    description: error.error_description ?? error.description,
    faultType: error.faultType,
    tid: error.intuit_tid ?? error.intuitTid,
    status: error.response?.status,
    faultCode: fault.code,
    faultDetail: fault.Detail ?? fault.detail,
  };
}

/** node-quickbooks calls back; await it instead. */
export const done = (client, method, ...args) =>
  new Promise((resolve, reject) => {
    client[method](...args, (error, answer) => (error ? reject(error) : resolve(answer)));
  });

/** The control door: `door('clock', {advanceSeconds: 60})`. */
export async function door(path, body = {}, method = 'POST') {
  const answer = await fetch(`${base}/_simulator/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: method === 'GET' ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Intuit's client; its documented `setAuthorizeURLs` and its public static addresses point at the simulator. */
export function oauthClient(options = {}) {
  const client = new OAuthClient({
    clientId: ready.client_id,
    clientSecret: ready.client_secret,
    environment: 'sandbox',
    redirectUri: CALLBACK,
    ...options,
  });
  client.setAuthorizeURLs({
    authorizeEndpoint: `${base}/connect/oauth2`,
    tokenEndpoint: `${base}/oauth2/v1/tokens/bearer`,
    revokeEndpoint: `${base}/v2/oauth2/tokens/revoke`,
    userInfoEndpoint: `${base}/v1/openid_connect/userinfo`,
  });
  OAuthClient.environment.sandbox = `${base}/`;
  OAuthClient.jwks_uri = `${base}/op/v1/jwks`;
  OAuthClient.retryConfig.retryDelay = 1; // milliseconds; one second is only patience
  return client;
}

/** node-quickbooks; `endpoint` of a client and the static token addresses point at the simulator. */
export function quickbooks(grant = ready) {
  QuickBooks.TOKEN_URL = `${base}/oauth2/v1/tokens/bearer`;
  QuickBooks.REVOKE_URL = `${base}/v2/oauth2/tokens/revoke`;
  QuickBooks.USER_INFO_URL = `${base}/v1/openid_connect/userinfo`;
  const client = new QuickBooks(
    grant.client_id, grant.client_secret, grant.access_token, false, grant.realm_id, true, false, 75, '2.0',
    grant.refresh_token,
  );
  client.endpoint = `${base}/v3/company/`;
  return client;
}

/** Opens the consent page, presses a button of its form, gives the address that the app is called back at. */
export async function consent(url, button = 'approve') {
  const page = await (await fetch(url)).text();
  const action = /<form[^>]*action="([^"]*)"/.exec(page)[1];
  const form = new URLSearchParams({ decision: button });
  const inputs = /<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"/g;
  const firstChoices = /<select[^>]*name="([^"]*)".*?<option value="([^"]*)"/gs;
  for (const [, name, value] of [...page.matchAll(inputs), ...page.matchAll(firstChoices)]) form.set(name, value);
  const answer = await fetch(new URL(action, url), { method: 'POST', body: form, redirect: 'manual' });
  return answer.headers.get('location');
}

/** The smallest invoice QuickBooks takes, and whatever fields you add. */
export const newInvoice = (fields = {}, amount = 100, { customer = '1', item = '1' } = {}) => ({
  CustomerRef: { value: customer },
  Line: [{ Amount: amount, DetailType: 'SalesItemLineDetail', SalesItemLineDetail: { ItemRef: { value: item } } }],
  ...fields,
});
