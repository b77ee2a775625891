"""What a network without a chain pins, reckoned from spec/wire.md and spec/evidence.md alone."""

import hashlib
import json

SMOLLM2_BYTES = 98_362_432
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

ROLES = {
    "application/vnd.ollama.image.model": "weights",
    "application/vnd.ollama.image.params": "params",
    "application/vnd.ollama.image.system": "system",
    "application/vnd.ollama.image.template": "template",
}


def simulated_measurement(image):
    """The measurement that the simulator's TDX quote gives for an image of that label."""
    mrtd = hashlib.sha384(b"subrosa/simulated-image/v1" + image.encode()).digest()
    rtmrs = bytes(4 * 48)
    return "0x" + hashlib.sha256(b"subrosa/measurement/tdx/v1" + mrtd + rtmrs).hexdigest()


def ollama_model(models_dir, name, tag):
    """The digest of a model's manifest: each file in Ollama's folder that can change an answer."""
    [written] = models_dir.glob(f"manifests/*/library/{name}/{tag}")
    manifest = json.loads(written.read_bytes())
    files = [("config", manifest["config"])]
    files += [
        (ROLES[layer["mediaType"]], layer)
        for layer in manifest["layers"]
        if layer["mediaType"] != "application/vnd.ollama.image.license"
    ]
    lines = sorted(
        f"{role} blobs/{file['digest'].replace(':', '-')} {file['size']} "
        f"{hashlib.sha256(blob(models_dir, file).read_bytes()).hexdigest()}\n"
        for role, file in files
    )
    return manifest_digest(lines)


def smollm2():
    """The digest of the catalogue's SmolLM2, which is one file."""
    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    return manifest_digest([f"weights {file} {SMOLLM2_BYTES} {SMOLLM2_SHA256}\n"])


def manifest_digest(lines):
    text = "subrosa/model-manifest/v1\n" + "".join(lines)
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def blob(models_dir, file):
    return models_dir / "blobs" / file["digest"].replace(":", "-")
