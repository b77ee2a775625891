#!/usr/bin/env node
// Copies ABI and creation bytecode from forge's output to abi/, where Rust reads them; of `Releases` the
// places in its storage too, because proofs from a block's state point there.
// With `--check` it writes nothing and fails when a committed file differs.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const CONTRACTS = ["Escrow", "PodRegistry", "Releases", "TestToken"];
const ROOT = path.join(__dirname, "..");

function committedForm(name) {
  const artifact = path.join(ROOT, "out", `${name}.sol`, `${name}.json`);
  const { abi, bytecode } = JSON.parse(fs.readFileSync(artifact, "utf8"));
  return `${JSON.stringify({ abi, bytecode: { object: bytecode.object } }, null, 1)}\n`;
}

// The compiler numbers types anew with each change elsewhere.
function places(members) {
  const plain = (type) => type.replace(/\)\d+/g, ")");
  return members.map(({ label, slot, offset, type }) => ({ label, slot, offset, type: plain(type) }));
}

function storageForm(name) {
  const artifact = path.join(ROOT, "out", `${name}.sol`, `${name}.json`);
  const { storage, types } = JSON.parse(fs.readFileSync(artifact, "utf8")).storageLayout;
  const structs = Object.values(types).filter((type) => type.members);
  const release = structs.find((type) => type.label === "struct IReleases.Release");
  return `${JSON.stringify({ storage: places(storage), release: places(release.members) }, null, 1)}\n`;
}

const files = CONTRACTS.map((name) => [`${name}.json`, committedForm(name)]);
files.push(["Releases.storage.json", storageForm("Releases")]);

let differing = 0;
for (const [name, wanted] of files) {
  const target = path.join(ROOT, "abi", name);
  if (!process.argv.includes("--check")) {
    fs.writeFileSync(target, wanted);
  } else if (!fs.existsSync(target) || fs.readFileSync(target, "utf8") !== wanted) {
    differing += 1;
    console.error(`abi/${name} is not what forge builds; run tools/export-abi.cjs`);
  }
}
process.exitCode = differing === 0 ? 0 : 1;
