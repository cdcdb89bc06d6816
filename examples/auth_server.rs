//! Runs an auth server for tests on this machine until Ctrl-C:
//!
//! ```sh
//! cargo run --example auth_server -- --addr 127.0.0.1:4010
//! ```
//!
//! It prints its base URL, the credentials of a client, and one curl command for each operation. Paste the commands into
//! a shell, in this order.

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use everbearer::testkit::AuthServer;

const USAGE: &str = "\
Runs an auth server for tests until Ctrl-C.

Usage: auth_server [--addr ADDRESS:PORT] [--short-seconds N]

  --addr ADDRESS:PORT  address to listen on [default: 127.0.0.1:4010; port 0 selects a free port]
  --short-seconds N    lifetime of short-term tokens [default: 900]
  --help               print this and stop";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("error: {mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot serve on {}: {error}", options.addr);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> std::io::Result<()> {
    let server = AuthServer::builder()
        .addr(options.addr)
        .short_term_lifetime(options.short_term_lifetime)
        .start()
        .await?;
    print_introduction(&server);
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    println!("\nStopped.");
    Ok(())
}

struct Options {
    addr: SocketAddr,
    short_term_lifetime: Duration,
}

impl Options {
    /// Returns `None` if `--help` is given.
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 4010)),
            short_term_lifetime: Duration::from_secs(900),
        };
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--addr" => {
                    let value = value()?;
                    options.addr = value.parse().map_err(|_| {
                        format!("--addr must be an address with a port, such as 127.0.0.1:4010, not {value:?}")
                    })?;
                }
                "--short-seconds" => {
                    let value = value()?;
                    let seconds = value.parse().map_err(|_| {
                        format!("--short-seconds must be a whole number, not {value:?}")
                    })?;
                    options.short_term_lifetime = Duration::from_secs(seconds);
                }
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        Ok(Some(options))
    }
}

fn print_introduction(server: &AuthServer) {
    let (base, id, secret) = (
        server.base_url(),
        server.client_id(),
        server.client_secret(),
    );
    println!(
        r#"The auth server is running. Ctrl-C stops it and discards its tokens.

Base URL       {base}
Client ID      {id}
Client secret  {secret}

Paste these into another shell, in this order.

# A helper that prints one text of a JSON response.
field() {{ sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }}

# 1. Obtain a long-term token.
LONG=$(curl -s '{base}/auth/tokens/long' -H 'Content-Type: application/json' -d '{{"grant_type":"client_credentials","client_id":"{id}","client_secret":"{secret}"}}'); echo "$LONG"
LONG_TOKEN=$(echo "$LONG" | field access_token); LONG_ID=$(echo "$LONG" | field token_id)

# 2. Exchange it for a short-term token.
SHORT=$(curl -s -X POST '{base}/auth/tokens/short' -H "Authorization: Bearer $LONG_TOKEN"); echo "$SHORT"
SHORT_TOKEN=$(echo "$SHORT" | field access_token); SHORT_ID=$(echo "$SHORT" | field token_id)

# 3. Read jobs with the short-term token: 200.
curl -si '{base}/jobs' -H "Authorization: Bearer $SHORT_TOKEN"; echo

# 4. Submit a job with it: 200.
curl -si '{base}/jobs' -H "Authorization: Bearer $SHORT_TOKEN" -d 'any body'; echo

# 5. Revoke the short-term token: 204.
curl -si -X POST "{base}/auth/tokens/$SHORT_ID/revoke" -H "Authorization: Bearer $LONG_TOKEN"

# 6. Read jobs again: 401, and WWW-Authenticate says why.
curl -si '{base}/jobs' -H "Authorization: Bearer $SHORT_TOKEN"; echo

# 7. Revoke the long-term token: 204.
curl -si -X POST "{base}/auth/tokens/$LONG_ID/revoke" -H "Authorization: Bearer $LONG_TOKEN"

# 8. Exchange it again: 401.
curl -si -X POST '{base}/auth/tokens/short' -H "Authorization: Bearer $LONG_TOKEN"; echo"#
    );
}
