// Chromium, as the drivers start it.
import { execFileSync } from 'node:child_process';
import { chromium } from 'playwright-core';

export const launch = (...args) => chromium.launch({
  executablePath: execFileSync('sh', ['-c', 'command -v chromium']).toString().trim(),
  args: [
    // Chromium's sandbox does not work for root.
    ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
    '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ...args,
  ],
});
