// SPDX-License-Identifier: Apache-2.0
// The other side of peer.c, by spdy-transport and msgpack5 from npm: libchan's dialects of 2015 and of
// 0.1 as their documents have them, written without a look at our C.
//
//     node spdy-peer.js 2015|0.1 serve|call unix:PATH|tcp:HOST:PORT
'use strict'
const net = require('net')
const transport = require('spdy-transport')
const msgpack5 = require('msgpack5')

const [dialect, role, address] = process.argv.slice(2)
const old = dialect === '0.1'
const MANY = 1000
const STREAM_BYTES = 1536 << 10

const fail = what => { console.error('spdy-peer: ' + what); process.exit(1) }
const check = (condition, what) => { if (!condition) fail(what) }
setTimeout(() => fail('nothing more happens'), 60000).unref()

const IN = 1, OUT = 2, BYTES = 3 // from the view of the encoder: it receives, it sends, a byte stream
class Attachment { constructor (kind, ref, channel) { Object.assign(this, { kind, ref, channel }) } }
class Time { constructor (bytes) { this.bytes = bytes } }

const u32 = n => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b }
const pack = msgpack5()
const encodeAs = (type, kind, encode, decode) =>
  pack.registerEncoder(v => v instanceof Attachment && v.kind === kind,
    v => Buffer.concat([Buffer.from([type]), encode(v)]))
if (old) {
  encodeAs(1, IN, v => Buffer.concat([Buffer.from([2]), u32(v.ref)]))
  encodeAs(1, OUT, v => Buffer.concat([Buffer.from([1]), u32(v.ref)]))
  encodeAs(2, BYTES, v => u32(v.ref))
  pack.registerDecoder(1, b => new Attachment(b[0] === 1 ? OUT : IN, b.readUInt32BE(1)))
  pack.registerDecoder(2, b => new Attachment(BYTES, b.readUInt32BE(0)))
} else {
  encodeAs(1, BYTES, v => u32(v.ref))
  encodeAs(4, IN, v => u32(v.ref))
  encodeAs(5, OUT, v => u32(v.ref))
  pack.registerDecoder(1, b => new Attachment(BYTES, b.readUInt32BE(0)))
  pack.registerDecoder(4, b => new Attachment(IN, b.readUInt32BE(0)))
  pack.registerDecoder(5, b => new Attachment(OUT, b.readUInt32BE(0)))
  pack.registerDecoder(6, b => new Time(Buffer.from(b)))
  pack.registerEncoder(v => v instanceof Time, v => Buffer.concat([Buffer.from([6]), v.bytes]))
}

// One end of a channel: messages are read only when asked for.
class Channel {
  constructor (peer, stream, ref) {
    Object.assign(this, { peer, stream, ref, bytes: Buffer.alloc(0), ended: false, wake: null })
    stream.on('error', e => { this.error = e; if (this.wake) this.wake() })
    stream.on('end', () => { this.ended = true; if (this.wake) this.wake() })
  }

  send (value) {
    const body = pack.encode(value).slice()
    return new Promise((resolve, reject) => this.stream.write(body, e => e ? reject(e) : resolve()))
  }

  close () { this.stream.end() }

  async receive () {
    if (!this.reading) {
      this.reading = true
      this.stream.on('readable', () => { if (this.wake) this.wake() })
    }
    for (;;) {
      if (this.bytes.length) {
        try {
          const list = require('bl')(this.bytes)
          const value = pack.decode(list)
          this.bytes = list.slice()
          return await this.peer.resolve(value)
        } catch (e) {
          if (!/incomplete/i.test(e.message + e.name)) throw e
        }
      }
      const chunk = this.stream.read()
      if (chunk) { this.bytes = Buffer.concat([this.bytes, chunk]); continue }
      if (this.ended) return undefined
      await new Promise(resolve => { this.wake = resolve })
      this.wake = null
    }
  }
}

class Peer {
  constructor (connection, dials) {
    Object.assign(this, { connection, dials, pending: new Map(), waiting: new Map(), tops: [] })
    this.next = old ? (dials ? 1 : 2) : 2
    connection.on('error', e => { if (!this.done) fail('connection: ' + e.message) })
    connection.on('stream', stream => this.arrived(stream))
  }

  arrived (stream) {
    const ref = Number(stream.headers['libchan-ref'])
    const parent = stream.headers['libchan-parent-ref']
    check(ref > 0, 'a stream without libchan-ref')
    stream.respond(200, {})
    stream.on('error', () => {})
    if (old ? parent === '0' : !parent || parent === '0') {
      this.tops.push(new Channel(this, stream, ref))
      if (this.onTop) this.onTop()
      return
    }
    this.pending.set(ref, stream)
    if (this.waiting.has(ref)) this.waiting.get(ref)()
  }

  // A stream of ours: on the wire before the promise is kept
  open (parent) {
    const ref = this.next
    this.next += old ? 2 : 1
    const headers = { 'libchan-ref': String(ref) }
    if (parent !== undefined) headers['libchan-parent-ref'] = String(parent)
    return new Promise((resolve, reject) => {
      this.connection.request({ method: 'POST', path: '/', host: 'libchan', headers }, (e, stream) => {
        if (e) return reject(e)
        resolve(new Channel(this, stream, ref))
      })
    })
  }

  openTop () { return this.open(old ? '0' : undefined) }
  openChannel (on) { return this.open(on.ref) }
  openBytes (on) { return this.open(old ? '' : on.ref) }

  async accept () {
    while (!this.tops.length) {
      if (this.closed) return null
      await new Promise(resolve => { this.onTop = resolve })
    }
    return this.tops.shift()
  }

  // The attachments of a message, as channels
  async resolve (value) {
    if (value instanceof Attachment) {
      if (!this.pending.has(value.ref)) {
        await new Promise(resolve => this.waiting.set(value.ref, resolve))
      }
      value.channel = new Channel(this, this.pending.get(value.ref), value.ref)
      this.pending.delete(value.ref)
    } else if (value && typeof value === 'object' && !Buffer.isBuffer(value) && !(value instanceof Time)) {
      for (const key of Object.keys(value)) await this.resolve(value[key])
    }
    return value
  }
}

function pump (from, to) { // bytes back to where they came from; resolves with their count
  return new Promise(resolve => {
    let count = 0
    from.stream.on('data', chunk => {
      count += chunk.length
      if (!to.stream.write(chunk)) {
        from.stream.pause()
        to.stream.once('drain', () => from.stream.resume())
      }
    })
    from.stream.on('end', () => { to.stream.end(); resolve(count) })
  })
}

async function forward (to, from) {
  for (let value; (value = await from.receive()) !== undefined;) await to.send(value)
  to.close()
}

async function answer (peer, message) {
  const ret = message.ret && message.ret.channel
  const give = async value => { await ret.send(value); ret.close(); ret.stream.resume() }
  switch (message.op) {
    case 'echo': return give(message.data)
    case 'stream': return give(await pump(message.io.channel, message.io.channel))
    case 'sink': {
      let n = 0
      while (await message.rx.channel.receive() !== undefined) n++
      message.rx.channel.close()
      return give(n)
    }
    case 'give': {
      const out = await peer.openChannel(ret)
      await give({ rx: new Attachment(OUT, out.ref) })
      out.stream.resume()
      for (let i = 0; i < message.n; i++) await out.send(i)
      return out.close()
    }
    case 'back': { // re-homed: a stream of ours, and a pump to theirs
      const mine = await peer.openChannel(ret)
      await give({ chan: new Attachment(IN, mine.ref) })
      forward(message.chan.channel, mine).then(() => mine.close())
      return message.chan.channel.stream.resume()
    }
    case 'drop': return message.chan.channel.stream.end()
  }
}

async function serve (peer) {
  for (let channel; (channel = await peer.accept());) {
    let n = 0
    for (let message; (message = await channel.receive()) !== undefined; n++) await answer(peer, message)
    channel.close()
    console.log(`channel ended after ${n} messages`)
  }
}

async function call (peer) {
  const top = await peer.openTop()
  top.stream.resume()
  const ask = async (message, also) => {
    const ret = await peer.openChannel(top)
    message.ret = new Attachment(IN, ret.ref)
    await top.send(message)
    if (also) await also()
    const value = await ret.receive()
    check(await ret.receive() === undefined, 'one answer')
    ret.close()
    return value
  }
  const echo = async length => {
    const data = Buffer.alloc(length, 'x')
    const back = await ask({ op: 'echo', data })
    check(data.equals(back), `${length} bytes come back`)
  }
  await echo(5)
  const late = await peer.openTop()
  late.stream.resume()
  for (let i = 0; i < MANY; i++) await late.send({ op: 'late' })
  for (let i = 0; i < 100; i++) await echo(64)
  await echo(100000)
  if (!old) {
    const time = new Time(Buffer.from('000000005390d280075bcd15', 'hex'))
    check((await ask({ op: 'echo', data: time })).bytes.equals(time.bytes), 'the same time')
  }
  const io = await peer.openBytes(top)
  let seen = 0
  const all = new Promise(resolve => {
    const take = () => { for (let c; (c = io.stream.read());) seen += c.length }
    io.stream.on('readable', take)
    io.stream.on('end', resolve)
  })
  const count = await ask({ op: 'stream', io: new Attachment(BYTES, io.ref) }, async () => {
    io.stream.end(Buffer.alloc(STREAM_BYTES, 'y'))
    await all
  })
  check(seen === STREAM_BYTES && count === STREAM_BYTES, `a byte stream: ${seen}, ${count}`)
  const given = (await ask({ op: 'give', n: MANY })).rx.channel
  for (let i = 0; i < MANY; i++) check(await given.receive() === i, 'what is given, in order')
  check(await given.receive() === undefined, 'the end of what is given')
  given.close()
  const sink = await peer.openChannel(top)
  sink.stream.resume()
  check(await ask({ op: 'sink', rx: new Attachment(OUT, sink.ref) }, async () => {
    for (let i = 0; i < MANY; i++) await sink.send(i)
    sink.close()
  }) === MANY, 'the count of the sink')
  const mine = await peer.openChannel(top)
  const around = (await ask({ op: 'back', chan: new Attachment(IN, mine.ref) })).chan.channel
  around.stream.resume()
  for (let i = 0; i < 10; i++) {
    await around.send(i)
    check(await mine.receive() === i, 'what goes around')
  }
  around.close()
  check(await mine.receive() === undefined, 'its end')
  mine.close()
  const dropped = await peer.openChannel(top)
  await top.send({ op: 'drop', chan: new Attachment(IN, dropped.ref) })
  check(await dropped.receive() === undefined, 'the end of what is dropped')
  dropped.close()
  await echo(5)
  const ends = [top, late].map(c => new Promise(resolve => {
    if (c.ended) resolve()
    else c.stream.on('end', resolve)
  }))
  top.close()
  late.close()
  await Promise.all(ends) // the other side has read everything
  console.log('all calls answered')
}

function join (socket, isServer) {
  if (scheme === 'tcp') socket.setNoDelay(true)
  const connection = transport.connection.create(socket, { protocol: 'spdy', isServer })
  connection.start(3.1)
  const peer = new Peer(connection, !isServer)
  const over = () => {
    peer.done = peer.closed = true
    if (peer.onTop) peer.onTop()
  }
  connection.on('close', over)
  socket.on('close', over)
  connection.on('goaway', () => {})
  return peer
}

const [scheme, ...rest] = address.split(':')
const where = scheme === 'unix' ? { path: rest.join(':') } : { host: rest[0], port: Number(rest[1]) }
process.on('unhandledRejection', e => fail(e.stack))
if (role === 'serve') {
  const server = net.createServer(socket => {
    server.close()
    serve(join(socket, true)).then(() => process.exit(0))
  })
  server.listen(where, () => console.log('listening'))
} else {
  const socket = net.connect(where, async () => {
    const peer = join(socket, false)
    await call(peer)
    peer.done = true
    peer.connection.end(() => {})
    socket.on('close', () => process.exit(0))
    setTimeout(() => process.exit(0), 1000)
  })
}
