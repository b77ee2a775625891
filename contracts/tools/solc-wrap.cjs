#!/usr/bin/env node
// Lets forge drive the WebAssembly solc of npm: answers `--version` and `--standard-json` as the
// native compiler does. npm's own `solcjs` refuses the path options that forge passes.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const solc = require("solc");

function readArguments(argv) {
  const options = { version: false, basePath: "", includePaths: [], inputFile: undefined };
  for (let i = 0; i < argv.length; i += 1) {
    if (argv[i] === "--version") options.version = true;
    else if (argv[i] === "--base-path") options.basePath = argv[(i += 1)];
    else if (argv[i] === "--include-path") options.includePaths.push(argv[(i += 1)]);
    else if (argv[i] === "--allow-paths") i += 1;
    else if (!argv[i].startsWith("--")) options.inputFile = argv[i];
  }
  return options;
}

function importFrom(folders) {
  return (name) => {
    for (const folder of folders) {
      try {
        return { contents: fs.readFileSync(path.join(folder, name), "utf8") };
      } catch {
        // Not in this folder: the next may hold it.
      }
    }
    return { error: `File not found: ${name}` };
  };
}

// A pipe takes large output in pieces and answers EAGAIN when it is full.
function writeWhole(text) {
  const bytes = Buffer.from(text, "utf8");
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += fs.writeSync(1, bytes, offset);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const options = readArguments(process.argv.slice(2));
if (options.version) {
  const version = solc.version().replace(".Emscripten.clang", ".Linux.g++");
  writeWhole(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
} else {
  const input = fs.readFileSync(options.inputFile ?? 0, "utf8");
  const folders = [options.basePath, ...options.includePaths];
  writeWhole(solc.compile(input, { import: importFrom(folders) }));
}
