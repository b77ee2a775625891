"""A team's own network: no chain, no prices, one pod, and a gateway whose key the pod lets ask."""

import json

import digests

NETWORK = """
name = "our-team"
trust = "simulated"
chain_id = 0

[pinned]
measurements = ["{measurement}"]
models = ["{model}"]
"""

POD = """
name = "team"
listen = "127.0.0.1:0"
endpoint = ""
state_dir = "pod"
network = "network.toml"
payee = "0x0000000000000000000000000000000000000000"
salt = "0x0000000000000000000000000000000000000000000000000000000000000001"
signer_file = "signer.key"
slips_file = "slips.json"
offer_weeks = 4
withdraw_delay = 86400
allow_list = ["{caller}"]

[attester.simulator]
kind = "simulated-tdx"
image = "{image}"

{backend}

[prices]
input = "0"
output = "0"

[claims]
every_s = 3600
rows = 50
min_gain = "0"
"""


class Team:
    """Started from visible files in a folder, as a team would write them."""

    def __init__(self, subrosa, folder, image, model, backend):
        self.network = folder / "network.toml"
        measurement = digests.simulated_measurement(image)
        self.network.write_text(NETWORK.format(measurement=measurement, model=model))
        passphrase = folder / "passphrase"
        passphrase.write_text("correct horse battery staple\n")
        caller = ["--state-dir", folder / "caller", "--passphrase-file", passphrase]
        address = subrosa.json("wallet", "new", *caller)["address"]
        config = folder / "pod.toml"
        config.write_text(POD.format(caller=address, image=image, backend=backend))
        self._pod = subrosa.start("pod", "--config", config, "--json")
        pod_url = f"https://{ready(self._pod)['address']}"
        listen = ["--network", self.network, "--pod", pod_url, "--listen", "127.0.0.1:0"]
        self._gateway = subrosa.start("gateway", *listen, *caller, "--json")
        self.url = f"http://{ready(self._gateway)['address']}"

    def kill_pod(self):
        """What a power cut does."""
        self._pod.kill()
        self._pod = None

    def stop(self):
        """Ends the gateway, then the pod, each as ctrl-c would; returns their exit statuses."""
        return [process.interrupt() for process in [self._gateway, self._pod] if process]


def ready(process):
    """What a pod or a gateway says of itself when it can answer."""
    return json.loads(process.line(r'^\{.*"event":"ready".*\}$')[0])
