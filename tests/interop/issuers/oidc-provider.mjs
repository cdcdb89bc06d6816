// oidc-provider, with one client that may use the client-credentials grant. Its first argument is the port, 0 for
// a free one, and its second the lifetime of access tokens in seconds. It prints a line when it listens, and a
// line for each response.

import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [port, lifetime] = process.argv.slice(1).map(Number);
const scopes = ['jobs:read', 'jobs:submit'];
const server = createServer();
await new Promise((listening) => server.listen(port, '127.0.0.1', listening));

const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
  clients: [
    {
      client_id: 'billing service',
      client_secret: 'correct:horse+battery%staple',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  scopes,
  ttl: { ClientCredentials: lifetime },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    // Without a resource, an access token is opaque; for a resource, it is a JWT.
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: scopes.join(' '),
        accessTokenFormat: 'jwt',
        accessTokenTTL: lifetime,
      }),
    },
  },
});
provider.use(async (context, next) => {
  await next();
  console.log(context.method, context.path, context.status);
});
server.on('request', provider.callback());
console.log(`listening on ${server.address().port}`);
