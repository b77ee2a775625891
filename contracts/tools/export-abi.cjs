#!/usr/bin/env node
// Copies ABI and creation bytecode from forge's output to abi/, where Rust reads them.
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

let differing = 0;
for (const name of CONTRACTS) {
  const target = path.join(ROOT, "abi", `${name}.json`);
  const wanted = committedForm(name);
  if (!process.argv.includes("--check")) {
    fs.writeFileSync(target, wanted);
  } else if (!fs.existsSync(target) || fs.readFileSync(target, "utf8") !== wanted) {
    differing += 1;
    console.error(`abi/${name}.json is not what forge builds; run tools/export-abi.cjs`);
  }
}
process.exitCode = differing === 0 ? 0 : 1;
