// oidc-provider with TLS on two ports: the first asks for no client certificate, the second does, and the metadata names
// its endpoints in `mtls_endpoint_aliases` (RFC 8705). Access tokens are bound to the client certificate, and an API on
// the second port accepts them from the client that presents it. Its arguments: the certificate of the server and its
// key, and the certificate of the client `mutual`, each in PEM. It prints a line when it listens, and a line for each
// response.

import { X509Certificate, createHash } from 'node:crypto';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const [cert, key, clientCert] = process.argv.slice(1);
const client = new X509Certificate(clientCert);

const options = { cert, key };
const servers = [createServer(options), createServer({ ...options, requestCert: true, rejectUnauthorized: false })];
for (const server of servers) {
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
}
const [plain, mutual] = servers.map((server) => `https://localhost:${server.address().port}`);

const presented = (context) => {
  const certificate = context.socket.getPeerX509Certificate();
  return certificate?.raw ? new X509Certificate(certificate.raw) : undefined;
};
const provider = new Provider(plain, {
  clients: [
    {
      client_id: 'mutual',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      tls_client_certificate_bound_access_tokens: true,
      jwks: { keys: [{ ...client.publicKey.export({ format: 'jwk' }), x5c: [client.raw.toString('base64')] }] },
    },
  ],
  clientAuthMethods: ['self_signed_tls_client_auth'],
  discovery: {
    mtls_endpoint_aliases: {
      token_endpoint: `${mutual}/token`,
      revocation_endpoint: `${mutual}/token/revocation`,
    },
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      getCertificate: presented,
    },
  },
});

for (const refused of ['grant.error', 'revocation.error', 'server_error']) {
  provider.on(refused, (_, error) => console.log('refused:', error.error, error.error_detail ?? error.message));
}
provider.use(async (context, next) => {
  const name = servers[1].address().port === context.socket.localPort ? 'mutual' : 'plain';
  if (context.path === '/api') {
    const value = (context.get('authorization').match(/^Bearer (.+)$/) ?? [])[1] ?? '';
    const token = await provider.ClientCredentials.find(value);
    const raw = presented(context)?.raw;
    const thumbprint = raw && createHash('sha256').update(raw).digest('base64url');
    context.status = token?.isValid && token['x5t#S256'] === thumbprint ? 200 : 401;
    context.body = '';
  } else {
    await next();
  }
  console.log(name, context.method, context.path, context.status);
});
for (const server of servers) {
  server.on('request', provider.callback());
}
console.log(`listening at ${plain} ${mutual}`);
