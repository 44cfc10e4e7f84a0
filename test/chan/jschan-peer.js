// SPDX-License-Identifier: Apache-2.0
// jschan itself (npm, 0.2.1), the one implementation of libchan beside the Go library that people used,
// as the other side of peer.c. It wants the node of its time: 0.10, from npm too.
//
//     node jschan-peer.js serve|call HOST PORT
//
// jschan closes no top-level channel until its session closes, and says no goodbye.
'use strict';
var jschan = require('jschan');
var through = require('stream').PassThrough;

var MANY = 1000, STREAM_BYTES = 1536 << 10, CALLS = 100, BIG = 30000; // it decodes what one read brings: no more than a window
var role = process.argv[2], host = process.argv[3], port = Number(process.argv[4]);

function fail(what) { console.error('jschan-peer: ' + what); process.exit(1); }
function check(condition, what) { if (!condition) fail(what); }
setTimeout(function() { fail('nothing more happens'); }, 60000);
process.on('uncaughtException', function(e) { fail(e.stack); });

// ---- the service of peer.c ----

var answers = {
  echo: function(m) { m.ret.end(m.data); },
  stream: function(m) {
    var n = 0;
    m.io.on('data', function(chunk) { n += chunk.length; });
    m.io.on('end', function() { m.ret.end(n); });
    m.io.pipe(m.io);
  },
  sink: function(m) {
    var n = 0;
    m.rx.on('data', function() { n++; });
    m.rx.on('end', function() { m.ret.end(n); });
  },
  give: function(m) {
    var out = through({ objectMode: true }); // jschan makes a channel of it
    m.ret.write({ rx: out });
    for (var i = 0; i < m.n; i++) out.write(i);
    out.end();
  },
  back: function(m) { // a received channel goes back: jschan makes another one and pipes
    var mine = m.ret.ReadChannel();
    mine.pipe(m.chan);
    m.ret.end({ chan: mine });
  },
  drop: function(m) { m.chan.end(); },
  late: function() {}
};

function serve() {
  var server = jschan.spdyServer({ plain: true, ssl: false, key: '-', cert: '-' }), open = 0;

  server.on('connection', function(socket) {
    socket.socket = socket; // where jschan finds it under TLS
    socket.setNoDelay(true);
  });
  server.on('session', function(session) {
    session.on('channel', function(channel) {
      var n = 0;
      open++;
      channel.on('data', function(m) { n++; answers[m.op](m); });
      channel.on('end', function() {
        console.log('channel ended after ' + n + ' messages');
        if (--open === 0) setTimeout(function() { process.exit(0); }, 1000);
      });
    });
  });
  server.listen(port, host, function() { console.log('listening'); });
}

// ---- the caller ----

function repeat(n, each, done) {
  (function next(i) {
    if (i === n) return done();
    each(i, function() { next(i + 1); });
  })(0);
}

function call() {
  var session = jschan.spdyClientSession({ host: host, port: port, spdy: { plain: true, ssl: false } });
  var top = session.WriteChannel();
  session.agent._spdyState.socket.setNoDelay(true);

  function ask(message, got) {
    var ret = top.ReadChannel();
    message.ret = ret;
    ret.once('data', got);
    top.write(message);
  }
  function echo(length, done) {
    var data = new Buffer(length);
    data.fill('x');
    ask({ op: 'echo', data: data }, function(back) {
      check(back.toString() === data.toString(), length + ' bytes come back');
      done();
    });
  }
  function stream(done) {
    var io = top.ByteStream(), seen = 0, data = new Buffer(STREAM_BYTES);
    data.fill('y');
    io.on('data', function(chunk) { seen += chunk.length; });
    ask({ op: 'stream', io: io }, function(count) {
      (function wait() { // the answer may overtake the last bytes: they are on another stream
        if (seen < STREAM_BYTES) return setTimeout(wait, 10);
        check(count === STREAM_BYTES && seen === STREAM_BYTES, 'a byte stream: ' + seen + ', ' + count);
        done();
      })();
    });
    io.end(data);
  }
  function give(done) {
    var expected = 0;
    ask({ op: 'give', n: MANY }, function(answer) {
      answer.rx.on('data', function(n) { check(n === expected++, 'what is given, in order'); });
      answer.rx.on('end', function() { check(expected === MANY, 'all of it'); done(); });
    });
  }
  function sink(done) {
    var out = top.WriteChannel();
    ask({ op: 'sink', rx: out }, function(n) { check(n === MANY, 'the count of the sink'); done(); });
    for (var i = 0; i < MANY; i++) out.write(i);
    out.end();
  }
  var late = session.WriteChannel(), i;

  echo(5, function() {
    for (i = 0; i < MANY; i++) late.write({ op: 'late' });
    repeat(CALLS, function(_, next) { echo(64, next); }, function() {
      echo(BIG, function() { stream(function() { give(function() { sink(function() {
        console.log('all calls answered');
        top.end();
        late.end();
        setTimeout(function() { process.exit(0); }, 1000);
      }); }); }); });
    });
  });
}

(role === 'serve' ? serve : call)();
