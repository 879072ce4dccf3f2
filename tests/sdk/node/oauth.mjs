// Intuit's OAuth client for Node, and what node-quickbooks has of its own.
import OAuthClient from 'intuit-oauth';

import { consent, done, door, oauthClient, quickbooks, ready, step } from './harness.mjs';

const { Accounting, OpenId, Email } = OAuthClient.scopes;
const DAY = 24 * 3600;

async function connected(scope = [Accounting], options = {}) {
  const client = oauthClient(options);
  await client.createToken(await consent(client.authorizeUri({ scope, state: 'a-state' })));
  return client;
}

await step('connect', async () => {
  const client = oauthClient();
  const callback = await consent(client.authorizeUri({ scope: [Accounting], state: 'a-state' }));
  const answer = await client.createToken(callback);
  const token = client.getToken();
  return {
    status: answer.status(),
    state: new URL(callback).searchParams.get('state'),
    realmId: token.realmId,
    expiresIn: token.expires_in,
    refreshExpiresIn: token.x_refresh_token_expires_in,
    valid: client.isAccessTokenValid(),
    tid: Boolean(answer.getIntuitTid()),
  };
});

await step('deny', async () => {
  const url = new URL(await consent(oauthClient().authorizeUri({ scope: [Accounting], state: 's' }), 'deny'));
  return { error: url.searchParams.get('error'), state: url.searchParams.get('state') };
});

await step('hard expiry', async () => {
  const client = await connected([Accounting], { includeRefreshTokenHardExpiresIn: true });
  const first = client.getToken().x_refresh_token_hard_expires_in;
  await door('clock', { advanceSeconds: DAY });
  await client.refresh();
  return { first, lost: first - client.getToken().x_refresh_token_hard_expires_in };
});

await step('refresh', async () => {
  const client = await connected();
  const { access_token, refresh_token } = client.getToken();
  await client.refresh();
  const same = client.getToken().refresh_token === refresh_token;
  const newAccess = client.getToken().access_token !== access_token;
  await door('clock', { advanceSeconds: DAY + 1 });
  await client.refresh();
  return { same, newAccess, rotated: client.getToken().refresh_token !== refresh_token };
});

await step('stale refresh token', async () => {
  const client = await connected();
  const stale = client.getToken().refresh_token;
  await door('clock', { advanceSeconds: DAY + 1 });
  await client.refresh();
  await client.refreshUsingToken(stale);
});

await step('code twice', async () => {
  const client = oauthClient();
  const callback = await consent(client.authorizeUri({ scope: [Accounting], state: 's' }));
  await client.createToken(callback);
  await client.createToken(callback);
});

await step('wrong secret', async () => {
  const client = await connected();
  client.clientSecret = 'wrong';
  await client.refresh();
});

// The client repeats a token request whose connection was reset; a refresh token that was replaced meanwhile is stale.
await step('lost rotation', async () => {
  const client = await connected();
  await door('clock', { advanceSeconds: DAY + 1 });
  await door('faults', { match: { operation: 'refresh' }, effect: { drop: 'after' } });
  await client.refresh();
});

await step('outage of the token endpoint', async () => {
  const client = await connected();
  await door('faults', { match: { operation: 'refresh' }, effect: { status: 503 }, times: 2 });
  await client.refresh();
  return { valid: client.isAccessTokenValid() };
});

await step('id_token', async () => {
  const client = await connected([Accounting, OpenId, Email]);
  return { valid: await client.validateIdToken(), email: (await client.getUserInfo()).getJson().email };
});

await step('no id_token', async () => {
  await (await connected()).validateIdToken();
});

await step('API call', async () => {
  const client = await connected();
  const realm = client.getToken().realmId;
  const relative = await client.makeApiCall({ url: `/v3/company/${realm}/companyinfo/${realm}` });
  return { status: relative.status, country: relative.json.CompanyInfo.Country };
});

await step('API fault', async () => {
  const client = await connected();
  await client.makeApiCall({ url: `/v3/company/${client.getToken().realmId}/invoice/999999` });
});

await step('API 401', async () => {
  const client = await connected();
  await door('clock', { advanceSeconds: 3601 });
  await client.makeApiCall({ url: `/v3/company/${client.getToken().realmId}/invoice/1` });
});

await step('API 403', async () => {
  const client = await connected();
  const { realmId } = await door('realms');
  await client.makeApiCall({ url: `/v3/company/${realmId}/invoice/1` });
});

await step('API 429', async () => {
  const client = await connected();
  await door('switches', { limitPerMinute: 1 }, 'PUT');
  const url = `/v3/company/${client.getToken().realmId}/customer/1`;
  try {
    await client.makeApiCall({ url });
    await client.makeApiCall({ url });
  } finally {
    await door('switches', { limitPerMinute: 0 }, 'PUT');
  }
});

await step('revoke', async () => {
  const client = await connected();
  const { refresh_token } = client.getToken();
  const answer = await client.revoke({ refresh_token });
  const cleared = client.getToken().access_token === '';
  let after = '';
  await client.refreshUsingToken(refresh_token).catch((error) => { after = error.error; });
  return { status: answer.status(), cleared, after };
});

// node-quickbooks' own

await step('node-quickbooks refresh', async () => {
  const qbo = quickbooks(await door('tokens'));
  const before = qbo.token;
  const answer = await done(qbo, 'refreshAccessToken');
  return { expiresIn: answer.expires_in, changed: qbo.token !== before };
});

await step('node-quickbooks invalid_grant', async () => {
  const qbo = quickbooks({ ...ready, refresh_token: 'RT1-wrong' });
  try {
    await done(qbo, 'refreshAccessToken');
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.response.status,
      body: error.response.data.error,
      kept: qbo.refreshToken === 'RT1-wrong' && Boolean(qbo.token),
    };
  }
});

await step('node-quickbooks user info', async () => {
  const client = await connected([Accounting, OpenId, Email]);
  const qbo = quickbooks({ ...ready, ...client.getToken() });
  return { email: (await done(qbo, 'getUserInfo')).email };
});

// It sends the token as a form, Intuit's own clients send JSON.
await step('node-quickbooks revoke', async () => {
  const grant = await door('tokens');
  const qbo = quickbooks(grant);
  await done(qbo, 'revokeAccess', true);
  const forgotten = qbo.refreshToken === null && qbo.token === null;
  let after = '';
  await done(quickbooks(grant), 'refreshAccessToken').catch((error) => { after = error.response.data.error; });
  return { forgotten, after };
});
