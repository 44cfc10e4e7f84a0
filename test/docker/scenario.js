// SPDX-License-Identifier: Apache-2.0
// dockerode's whole width against the socket in argv[2]; what it says is compared by test_node.py
'use strict';
const fs = require('fs');
const { PassThrough } = require('stream');
const Docker = require('dockerode');
const tarStream = require('tar-stream');

const docker = new Docker({ socketPath: process.argv[2] });
const none = { NetworkMode: 'none' };

function text(stream) {
  return new Promise((resolve, reject) => {
    let all = '';
    stream.on('data', (piece) => { all += piece; });
    stream.on('end', () => resolve(all));
    stream.on('error', reject);
  });
}

async function attached(say) {
  const c = await docker.createContainer({
    Image: 'busybox', Cmd: ['sh', '-c', 'read x; echo got $x; echo err >&2; exit 3'], OpenStdin: true, StdinOnce: true,
    AttachStdin: true, name: 'jsc', HostConfig: none, Labels: { a: 'b' },
  });
  const stream = await c.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const out = new PassThrough(), err = new PassThrough();
  c.modem.demuxStream(stream, out, err);
  stream.on('end', () => { out.end(); err.end(); });
  const both = [text(out), text(err)];
  await c.start();
  stream.write('hello\n');
  const code = (await c.wait()).StatusCode;
  say('wait', code, JSON.stringify(await both[0]), JSON.stringify(await both[1]));
  const found = await docker.listContainers({ all: true, filters: { label: ['a=b'] } });
  say('inspect', (await c.inspect()).State.ExitCode, found.length);
  say('logs', (await c.logs({ stdout: true, stderr: true })).length);
  await c.remove();
}

async function running(say) {
  const c = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '100'], HostConfig: none });
  await c.start();
  const exec = await c.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const out = new PassThrough();
  c.modem.demuxStream(stream, out, out);
  stream.on('end', () => out.end());
  const said = text(out);
  stream.write('thru');
  stream.end();
  say('exec', await said, (await exec.inspect()).ExitCode);
  const once = await c.stats({ stream: false });
  say('stats', once.memory_stats.usage > 0, once.name.length > 0);
  const stats = await c.stats();
  say('stats stream', JSON.parse(await new Promise((resolve) => stats.once('data', resolve))).pids_stats.current > 0);
  stats.destroy();
  const pack = tarStream.pack();
  pack.entry({ name: 'f' }, 'abc');
  pack.finalize();
  await c.putArchive(pack, { path: '/tmp' });
  const extract = tarStream.extract();
  const content = new Promise((resolve) => extract.on('entry', (_, entry, next) => text(entry).then(resolve).then(next)));
  (await c.getArchive({ path: '/tmp/f' })).pipe(extract);
  say('archive', await content);
  say('top', (await c.top()).Processes.length);
  await c.pause();
  await c.unpause();
  await c.rename({ name: 'other' });
  await c.restart({ t: 0 });
  await c.kill();
  await c.remove({ force: true, v: true });
}

async function rest(say) {
  const [result] = await docker.run('busybox', ['echo', 'run'], process.stdout, { HostConfig: { ...none, AutoRemove: true } });
  say('run', result.StatusCode);
  await docker.createVolume({ Name: 'jsvol' });
  const volumes = (await docker.listVolumes()).Volumes;
  say('volume', volumes.length, volumes[0].Name);
  await docker.getVolume('jsvol').remove();
  const network = await docker.createNetwork({ Name: 'jsnet' });
  say('network', (await network.inspect()).Name);
  await network.remove();
  const image = docker.getImage('busybox');
  say('images', (await docker.listImages()).length, (await image.inspect()).Os, (await image.history()).length > 0);
  await image.tag({ repo: 'js', tag: '1' });
  await docker.getImage('js:1').remove();
  await docker.getContainer('nosuch').inspect().catch((e) => say('error', e.statusCode, e.json.message));
  const imported = await docker.importImage(process.argv[3], { repo: 'js', tag: '2' });
  await new Promise((resolve, reject) => docker.modem.followProgress(imported, (e) => (e ? reject(e) : resolve())));
  say('import', (await docker.getImage('js:2').inspect()).RepoTags.filter((tag) => tag.startsWith('js'))[0]);
  await docker.getImage('js:2').remove();
  say('df', 'LayersSize' in await docker.df(), (await docker.info()).Containers, (await docker.version()).ApiVersion,
    (await docker.ping()).toString(), (await docker.pruneContainers()).SpaceReclaimed);
}

async function main() {
  const say = (...words) => fs.writeSync(1, words.join(' ') + '\n');
  const seen = [];
  const events = await docker.getEvents({ filters: { type: ['container'] } });
  events.on('data', (line) => line.toString().trim().split('\n').forEach((one) => seen.push(JSON.parse(one).Action)));
  await attached(say);
  await running(say);
  await rest(say);
  say('events', seen.slice(0, 13).join(' '));
  process.exit(0);
}

main().catch((e) => { console.error(e); process.exit(1); });
