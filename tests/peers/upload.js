// Uploads one file with tus-js-client, as the first argument says (JSON), and prints where it went.
import fs from 'node:fs'
import { PassThrough } from 'node:stream'
import * as tus from 'tus-js-client'

const asked = JSON.parse(process.argv[2])
const options = {
  endpoint: asked.endpoint,
  headers: { Authorization: asked.authorization },
  metadata: { filename: 'peer.csv', filetype: 'text/csv' },
  retryDelays: [100, 500, 1000, 4000],
  urlStorage: new tus.FileUrlStorage(`${asked.path}.urls`),
  ...asked.options,
}

// Aborts at half of the bytes, then goes on as another run of the program would.
function resume() {
  let isAborted = false
  const upload = start({
    ...options,
    chunkSize: 100_000,
    onProgress(sent, total) {
      if (!isAborted && sent > total / 2) {
        isAborted = true
        upload.abort().then(goOn, fail)
      }
    },
    onSuccess: () => fail(new Error('It ended before it was aborted')),
  })
  async function goOn() {
    const next = make(options)
    const earlier = await next.findPreviousUploads()
    if (earlier.length !== 1) throw new Error(`${earlier.length} earlier uploads`)
    next.resumeFromPreviousUpload(earlier[0])
    next.start()
  }
}

// Ends an upload on the server after its first bytes.
function terminate() {
  const upload = start({
    ...options,
    chunkSize: 100_000,
    onChunkComplete: () => upload.abort(true).then(() => tell(upload), fail),
    onSuccess: () => fail(new Error('It ended before it was terminated')),
  })
}

function make(chosen) {
  const file = fs.createReadStream(asked.path)
  // The length is left open for what is no file, and only read to its end.
  const source = chosen.uploadLengthDeferred ? file.pipe(new PassThrough()) : file
  const upload = new tus.Upload(source, { onError: fail, onSuccess: () => tell(upload), ...chosen })
  return upload
}

function start(chosen) {
  const upload = make(chosen)
  upload.start()
  return upload
}

function tell(upload) {
  console.log(upload.url)
  process.exit(0)
}

function fail(error) {
  console.error(String(error))
  process.exit(1)
}

process.on('unhandledRejection', fail)
const ways = { plain: () => start(options), resume, terminate }
ways[asked.way]()
