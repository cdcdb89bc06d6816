"""An OAuth server on Authlib: client credentials, refresh tokens that are replaced, token exchange and revocation.

Its argument is the port, 0 for a free one. It prints a line when it listens, and a line for each response.
"""

import secrets
import sys
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

app = Flask(__name__)
TOKENS = []


class Client(ClientMixin):
    id, secret = "client:1", "correct horse+battery"

    def get_client_id(self):
        return self.id

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, _):
        return False

    def check_client_secret(self, secret):
        return secret == self.secret

    def check_endpoint_auth_method(self, method, _):
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, _):
        return False

    def check_grant_type(self, _):
        return True


class Token(TokenMixin):
    def __init__(self, data):
        self.data, self.issued_at, self.revoked = data, time.time(), False

    def check_client(self, _):
        return True

    def get_scope(self):
        return self.data.get("scope", "")

    def get_expires_in(self):
        return self.data["expires_in"]

    def is_expired(self):
        return time.time() > self.issued_at + self.data["expires_in"]

    def is_revoked(self):
        return self.revoked


def find(member, value):
    return next((it for it in TOKENS if it.data.get(member) == value), None)


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class Refresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        token = find("refresh_token", refresh_token)
        if token and token.revoked:
            for other in TOKENS:  # reuse ends the family
                other.revoked = True
            raise InvalidGrantError()
        return token

    def authenticate_user(self, _):
        return "someone"

    def revoke_old_credential(self, refresh_token):
        refresh_token.revoked = True


class Exchange(grants.BaseGrant, grants.TokenEndpointMixin):
    """Token exchange (RFC 8693). A subject token is accepted once."""

    GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
    seen = set()

    def validate_token_request(self):
        self.request.client = self.authenticate_token_endpoint_client()
        subject = self.request.form["subject_token"]
        if subject in self.seen or self.request.form.get("audience") != "jobs":
            raise InvalidGrantError()
        self.seen.add(subject)

    def create_token_response(self):
        token = self.generate_token(grant_type="client_credentials", scope="jobs", include_refresh_token=False)
        token["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

    def query_token(self, text, _):
        return find("access_token", text) or find("refresh_token", text)

    def revoke_token(self, token, _):
        token.revoked = True


server = AuthorizationServer(
    app,
    query_client=lambda client_id: Client() if client_id == Client.id else None,
    save_token=lambda token, _: TOKENS.append(Token(dict(token))),
)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server.init_app(app)
server.register_grant(ClientCredentials)
server.register_grant(Refresh)
server.register_grant(Exchange)
server.register_endpoint(Revocation)


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/revoke")
def revoke():
    return server.create_endpoint_response("revocation")


@app.get("/api")
def api():
    found = find("access_token", request.headers.get("authorization", "").removeprefix("Bearer "))
    is_valid = found and not found.is_expired() and not found.revoked
    return ("", 200 if is_valid else 401)


@app.post("/refresh-token")
def refresh_token():
    data = {"access_token": secrets.token_hex(16), "refresh_token": secrets.token_hex(16), "expires_in": 3600}
    TOKENS.append(Token(data))
    return data["refresh_token"]


@app.after_request
def log(response):
    print(request.method, request.path, response.status_code, flush=True)
    return response


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


listening = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=Quiet)
print(f"listening on {listening.server_port}", flush=True)
listening.serve_forever()
