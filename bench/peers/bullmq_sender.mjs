// BullMQ with a pool of nodemailer: what a Node team writes. Run by bench.notification_peers:
// node bullmq_sender.mjs queue|work SOCKET PORT N
import { readFileSync } from 'node:fs';
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';
import nodemailer from 'nodemailer';
import Handlebars from 'handlebars';

const [verb, socket, port, count] = process.argv.slice(2);
const { node, data } = JSON.parse(readFileSync(new URL('./mail.json', import.meta.url)));
const connection = new IORedis({ path: socket, maxRetriesPerRequest: null });

if (verb === 'queue') {
  const queue = new Queue('emails', { connection });
  const jobs = Array.from({ length: Number(count) }, (_, number) => ({
    name: 'email', data: { number }, opts: { removeOnComplete: true },
  }));
  for (let at = 0; at < jobs.length; at += 500) await queue.addBulk(jobs.slice(at, at + 500));
  await queue.close();
  process.exit(0);
}

const parts = Object.fromEntries(
  Object.entries(node).map(([name, source]) => [name, Handlebars.compile(source)]));
const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(port), pool: true, maxConnections: 10, maxMessages: Infinity,
  ignoreTLS: true,
});
let left = Number(count);
console.log(Number(process.hrtime.bigint()) / 1e9);
const worker = new Worker('emails', async (job) => {
  await transport.sendMail({
    from: 'shop@example.com', to: `anna.${job.data.number}@example.com`,
    subject: parts.subject(data), text: parts.text(data), html: parts.html(data),
  });
}, { connection, concurrency: 50 });
worker.on('completed', () => { left -= 1; if (left === 0) process.exit(0); });
