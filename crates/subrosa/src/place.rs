//! Where things lie: the state folder, the wallet, its passphrase, the network file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use subrosa_chain::{Network, Passphrase, Wallet};

use crate::args::Common;

/// The environment variable that may hold a passphrase.
const PASSPHRASE_VARIABLE: &str = "SUBROSA_PASSPHRASE";

impl Common {
    /// The state folder.
    pub(crate) fn state_folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.state_dir {
            return Ok(folder.clone());
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(state) = set("XDG_STATE_HOME") {
            return Ok(Path::new(&state).join("subrosa"));
        }
        let home = set("HOME").context("there is no home folder; name one with --state-dir")?;
        Ok(Path::new(&home).join(".local/state/subrosa"))
    }

    /// Where ledgers and receipts of a network are: each network has its own.
    pub(crate) fn ledger_folder(&self, network: &Network) -> Result<PathBuf> {
        let domain = network.domain();
        let name =
            format!("ledger-{}-{}", domain.chain_id, domain.escrow.to_string().to_lowercase());
        Ok(self.state_folder()?.join(name))
    }

    /// The network file, where there is one.
    pub(crate) fn network_if_any(&self) -> Result<Option<Network>> {
        match &self.network {
            Some(path) => Ok(Some(Network::load(path)?)),
            None => {
                let path = self.state_folder()?.join("network.toml");
                if path.exists() { Ok(Some(Network::load(&path)?)) } else { Ok(None) }
            }
        }
    }

    /// The network file.
    pub(crate) fn network(&self) -> Result<Network> {
        let network = self.network_if_any()?;
        network.context(
            "no network file: name one with --network FILE, \
             or put it into the state folder as network.toml",
        )
    }

    /// Where the wallet is.
    pub(crate) fn wallet_file(&self) -> Result<PathBuf> {
        match &self.wallet {
            Some(path) => Ok(path.clone()),
            None => Ok(self.state_folder()?.join("wallet.json")),
        }
    }

    /// The wallet, opened.
    pub(crate) async fn open_wallet(&self) -> Result<Wallet> {
        let path = self.wallet_file()?;
        if !path.exists() {
            bail!(
                "there is no wallet at {}: make one with `subrosa wallet new`, \
                 or name it with --wallet",
                path.display()
            );
        }
        let passphrase = self.passphrase()?;
        // Opening a keystore takes a second of computing on purpose.
        let opening = tokio::task::spawn_blocking(move || Wallet::open(&path, &passphrase));
        Ok(opening.await.expect("opening a wallet does not panic")?)
    }

    /// The passphrase: from the file, the variable, or the terminal.
    pub(crate) fn passphrase(&self) -> Result<Passphrase> {
        match self.passphrase_given()? {
            Some(passphrase) => Ok(passphrase),
            None => Ok(Passphrase::new(prompt("Passphrase: ")?)),
        }
    }

    /// A passphrase for a new wallet: what is typed is typed twice.
    pub(crate) fn new_passphrase(&self) -> Result<Passphrase> {
        if let Some(passphrase) = self.passphrase_given()? {
            return Ok(passphrase);
        }
        let first = SecretString::from(prompt("New passphrase: ")?);
        let again = SecretString::from(prompt("The same again: ")?);
        if first.expose_secret() != again.expose_secret() {
            bail!("the two passphrases differ; nothing was made, try again");
        }
        Ok(Passphrase::new(first.expose_secret().to_owned()))
    }

    /// The passphrase, where it need not be typed.
    pub(crate) fn passphrase_given(&self) -> Result<Option<Passphrase>> {
        if let Some(path) = &self.passphrase_file {
            return first_line(path).map(|line| Some(Passphrase::new(line)));
        }
        match std::env::var(PASSPHRASE_VARIABLE) {
            Ok(text) => Ok(Some(Passphrase::new(text))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(_) => bail!("{PASSPHRASE_VARIABLE} is not text"),
        }
    }
}

/// The first line of a file, without its end.
pub(crate) fn first_line(path: &Path) -> Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn prompt(question: &str) -> Result<String> {
    rpassword::prompt_password(question).with_context(|| {
        format!(
            "no terminal to ask for the passphrase; use --passphrase-file or {PASSPHRASE_VARIABLE}"
        )
    })
}
