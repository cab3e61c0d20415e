#!/usr/bin/env node
import { runProgram } from './cli/program.js';
import { processTerminal } from './cli/terminal.js';

/** What keeps a finished command from ending (a socket kept alive, say) may do so for this long. */
const LINGER_MS = 2000;

process.exitCode = await runProgram(process.argv.slice(2), processTerminal());
setTimeout(() => process.exit(), LINGER_MS).unref();
