"""A team's own network: no chain, no prices, one pod, and a gateway whose key the pod lets ask."""

import json

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

    def __init__(self, subrosa, folder, image, measurement, model, backend):
        self.network = folder / "network.toml"
        self.network.write_text(NETWORK.format(measurement=measurement, model=model))
        passphrase = folder / "passphrase"
        passphrase.write_text("correct horse battery staple\n")
        caller = ["--state-dir", folder / "caller", "--passphrase-file", passphrase]
        address = subrosa.json("wallet", "new", *caller)["address"]
        config = folder / "pod.toml"
        config.write_text(POD.format(caller=address, image=image, backend=backend))
        self._running = []
        pod = self._start(subrosa, "pod", "--config", config, "--json")
        self.pod_url = f"https://{pod['address']}"
        listen = ["--network", self.network, "--pod", self.pod_url, "--listen", "127.0.0.1:0"]
        gateway = self._start(subrosa, "gateway", *listen, *caller, "--json")
        self.accepted = gateway["accepted"]
        self.url = f"http://{gateway['address']}"

    def _start(self, subrosa, *arguments):
        """What the process says of itself when it is ready."""
        process = subrosa.start(*arguments)
        self._running.append(process)
        return json.loads(process.line(r'^\{.*"event":"ready".*\}$')[0])

    def stop(self):
        """Ends the gateway, then the pod, each as ctrl-c would; returns their exit statuses."""
        return [process.interrupt() for process in reversed(self._running)]
