//! A team's own pod: a network without a chain, and a friend who may ask.

use std::path::Path;
use std::sync::Arc;

use subrosa_chain::{Network, Wallet};
use subrosa_client::{Client, ClientConfig, Pacing};
use subrosa_engine::catalogue::Catalogue;
use subrosa_protocol::{Address, Amount, B256, SecretKey};

use super::{ANSWER, IMAGE, engine};

/// Whoever may ask the team's pod.
pub fn friend() -> SecretKey {
    SecretKey::from_bytes(&[0x11; 32]).unwrap()
}

/// The team's network file, which releases this image and the scripted model.
pub fn network(measurement: B256) -> String {
    format!(
        "name = \"team\"\ntrust = \"simulated\"\nchain_id = 0\n\
         [pinned]\nmeasurements = [\"{measurement}\"]\nmodels = [\"{}\"]\n",
        engine().models()[0].digest,
    )
}

/// The configuration of a pod of this kind, all of whose files lie in `folder`.
pub fn pod_config(folder: &Path, kind: &str, allowed: Address) -> String {
    let folder = folder.display();
    format!(
        r#"
        name = "team"
        listen = "127.0.0.1:0"
        endpoint = ""
        state_dir = "{folder}/state"
        network = "{folder}/network.toml"
        payee = "0x0000000000000000000000000000000000000000"
        salt = "0x0000000000000000000000000000000000000000000000000000000000000000"
        signer_file = "{folder}/signer.key"
        slips_file = "{folder}/slips.json"
        offer_weeks = 4
        withdraw_delay = 86400
        allow_list = ["{allowed}"]
        [attester.simulator]
        kind = "{kind}"
        image = "{IMAGE}"
        [backend.scripted]
        model = "script"
        answer = "{ANSWER}"
        prefill_ms = 0
        per_token_ms = 0
        [prices]
        input = "0"
        output = "0"
        [claims]
        every_s = 3600
        rows = 50
        min_gain = "1"
        "#,
    )
}

/// The friend's client, which looked at the pod.
pub async fn client(folder: &Path, network: Network, pod: String, pacing: Pacing) -> Arc<Client> {
    let config = ClientConfig {
        network,
        chain: None,
        payer: Wallet::from_key(friend()),
        state_dir: folder.join("client"),
        catalogue: Catalogue::compiled_in(),
        policy: None,
        pacing,
        deposit: Amount::ZERO,
        private_pods: vec![pod],
    };
    let client = Arc::new(Client::open(config).await.unwrap());
    client.refresh().await.unwrap();
    client
}
