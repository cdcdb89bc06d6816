//! The options of the command line.

use super::servers::{self, Behaviour};

const USAGE: &str = "\
Kills a process that rotates its token at random moments, and checks that no token is lost.

Usage: crash [--kills N] [--seed N] [--server NAME]...

  --kills N      number of kills for each behaviour of the server [default: 100]
  --seed N       repeats the moments of the run that printed this seed [default: random]
  --server NAME  a behaviour of the server; repeat the option for several [default: all]
  --help         print this and stop

The behaviours of the server:

";

const EXIT_CODES: &str = "
The exit code is 0 if no token was lost, each superseded long-term token was revoked, and the server refused no
request, and 1 otherwise.";

pub(crate) struct Options {
    pub(crate) kills: u32,
    pub(crate) seed: u64,
    pub(crate) behaviours: Vec<&'static Behaviour>,
}

pub(crate) fn usage() -> String {
    let lines = servers::ALL.iter().map(|behaviour| {
        let Behaviour { name, title, .. } = behaviour;
        format!("  {name:<20}{title}\n")
    });
    format!("{USAGE}{}{EXIT_CODES}", lines.collect::<String>())
}

impl Options {
    /// Returns `None` if `--help` is given.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut kills, mut seed, mut behaviours) = (100, fastrand::u64(..), Vec::new());
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            let not_a_number = |value: &str| format!("expected a whole number, not {value:?}");
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--kills" => {
                    let value = value()?;
                    kills = value.parse().map_err(|_| not_a_number(&value))?;
                }
                "--seed" => {
                    let value = value()?;
                    seed = value.parse().map_err(|_| not_a_number(&value))?;
                }
                "--server" => behaviours.extend(named(&value()?)?),
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        if behaviours.is_empty() {
            behaviours.extend(&servers::ALL);
        }
        Ok(Some(Self {
            kills,
            seed,
            behaviours,
        }))
    }
}

fn named(name: &str) -> Result<impl Iterator<Item = &'static Behaviour>, String> {
    let is_meant = |behaviour: &&Behaviour| name == "all" || behaviour.name == name;
    let named: Vec<_> = servers::ALL.iter().filter(is_meant).collect();
    if named.is_empty() {
        return Err(format!("there is no server {name:?}"));
    }
    Ok(named.into_iter())
}
