// oidc-provider with a client for each way to authenticate, refresh tokens that are replaced in each exchange, and an
// API that accepts its access tokens. Its arguments: the port, 0 for a free one; the lifetime of access tokens in
// seconds; a file that keeps the state across restarts; the public key of the client `signer`, as a JWK. It prints a
// line when it listens, and a line for each response.

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [port, lifetime, file, jwk] = process.argv.slice(1);
const ttl = Number(lifetime);

let state = {};
try {
  state = JSON.parse(readFileSync(file, 'utf8'));
} catch {
  // The first start.
}
const write = () => writeFileSync(file, JSON.stringify(state));

// What oidc-provider stores, in one object that is written to the file.
class Adapter {
  constructor(name) {
    this.name = name;
  }
  key(id) {
    return `${this.name}:${id}`;
  }
  async upsert(id, payload) {
    state[this.key(id)] = payload;
    write();
  }
  async find(id) {
    return state[this.key(id)];
  }
  async findByUid(uid) {
    return Object.values(state).find((it) => it.uid === uid);
  }
  async consume(id) {
    state[this.key(id)].consumed = Math.floor(Date.now() / 1000);
    write();
  }
  async destroy(id) {
    delete state[this.key(id)];
    write();
  }
  async revokeByGrantId(grantId) {
    for (const [key, payload] of Object.entries(state)) {
      if (payload.grantId === grantId) delete state[key];
    }
    write();
  }
}

const server = createServer();
await new Promise((listening) => server.listen(Number(port), '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id, grant_types, more) => ({
  client_id,
  grant_types,
  redirect_uris: grant_types.includes('authorization_code') ? ['https://app.example.com/callback'] : [],
  response_types: grant_types.includes('authorization_code') ? ['code'] : [],
  ...more,
});
const client_secret = 'correct:horse+battery%staple';
const provider = new Provider(issuer, {
  adapter: Adapter,
  clients: [
    client('billing service', ['client_credentials'], { client_secret }),
    client('poster', ['client_credentials'], { client_secret, token_endpoint_auth_method: 'client_secret_post' }),
    client('hmac', ['client_credentials'], {
      client_secret: client_secret.repeat(2),
      token_endpoint_auth_method: 'client_secret_jwt',
    }),
    client('signer', ['client_credentials'], {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'EdDSA',
      jwks: { keys: [JSON.parse(jwk)] },
    }),
    client('rotating', ['authorization_code', 'refresh_token'], { token_endpoint_auth_method: 'none' }),
  ],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
  scopes: ['jobs:read', 'jobs:submit', 'openid', 'offline_access'],
  ttl: { ClientCredentials: ttl, AccessToken: ttl, RefreshToken: 86400, Grant: 86400 },
  rotateRefreshToken: true,
  findAccount: (_, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
});

// A refresh token, as the authorization code flow of a user would end with.
async function refreshToken() {
  const accountId = 'someone';
  const grant = new provider.Grant({ accountId, clientId: 'rotating' });
  grant.addOIDCScope('openid offline_access');
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId,
    client: await provider.Client.find('rotating'),
    grantId,
    gty: 'authorization_code',
    scope: 'openid offline_access',
  });
  return token.save();
}

for (const refused of ['grant.error', 'revocation.error']) {
  provider.on(refused, (_, error) => console.log('refused:', error.error, error.error_detail ?? error.error_description));
}
provider.use(async (context, next) => {
  if (context.path === '/refresh-token') {
    context.body = await refreshToken();
  } else if (context.path === '/api') {
    const value = (context.get('authorization').match(/^Bearer (.+)$/) ?? [])[1] ?? '';
    const token = (await provider.ClientCredentials.find(value)) ?? (await provider.AccessToken.find(value));
    context.status = token?.isValid ? 200 : 401;
    context.body = '';
  } else {
    await next();
  }
  console.log(context.method, context.path, context.status);
});
server.on('request', provider.callback());
console.log(`listening on ${server.address().port}`);
