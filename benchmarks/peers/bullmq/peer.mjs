// BullMQ on Redis through ioredis. Its options are those of benchmarks/asked.py, and so is its answer.

import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    n: { type: "string" },
    handler: { type: "string", default: "noop" },
    database: { type: "string" },
    redis: { type: "string" },
    slots: { type: "string", default: "100" },
  },
});
const [action] = positionals;
const n = Number(values.n);
const connection = new Redis(values.redis, { maxRetriesPerRequest: null });
const client = new Redis(values.redis);
const queue = new Queue("work", { connection });
const ran = [];

async function work(job) {
  if (values.handler === "incr") await client.incr("bench:counter");
  ran.push(job.data.number);
}

async function timed(what) {
  const began = performance.now();
  const cpuBegan = process.cpuUsage();
  await what();
  const { user, system } = process.cpuUsage(cpuBegan);
  return { seconds: (performance.now() - began) / 1000, cpu: (user + system) / 1e6 };
}

async function oneByOne() {
  for (let number = 0; number < n; number++) await queue.add("work", { number });
}

async function inBulk() {
  await queue.addBulk(Array.from({ length: n }, (_, number) => ({ name: "work", data: { number } })));
}

async function drain() {
  let left = n;
  let worker;
  await new Promise((resolve, reject) => {
    worker = new Worker("work", work, { connection: connection.duplicate(), concurrency: Number(values.slots) });
    worker.on("completed", () => --left || resolve());
    worker.on("failed", (_, error) => reject(error));
  });
  return worker;
}

await queue.waitUntilReady();
let took = await timed(action === "submit" ? oneByOne : inBulk);
let counts = { stored: await queue.getWaitingCount() };
if (action === "drain") {
  let worker;
  took = await timed(async () => (worker = await drain()));
  counts = { ran: ran.length, distinct: new Set(ran).size, stored: await queue.getCompletedCount() };
  if (values.handler === "incr") counts.counted = Number(await client.get("bench:counter"));
  await worker.close();
}
const wrong = Object.entries(counts).filter(([, count]) => count !== n);
if (wrong.length) throw new Error(`not exact: ${n} jobs, but ${JSON.stringify(counts)}`);
console.log(JSON.stringify({ n, ...took, ...counts }));
process.exit(0);
