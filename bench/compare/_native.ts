import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Child, freePort, startChild } from '../kit/child.ts'

/** What a native proxy is set up with: PEM files, and a folder for its configuration. */
export interface NativeSetup {
  readonly folder: string
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly upstreamPort: number
}

export type NativeName = 'nginx' | 'haproxy'

/** Starts nginx or HAProxy with one worker in front of the destination; null where it is not installed. */
export async function startNative(
  name: NativeName,
  setup: NativeSetup
): Promise<{ readonly child: Child; readonly port: number } | null> {
  if (spawnSync(name, ['-v'], { stdio: 'ignore' }).error !== undefined) return null
  const port = await freePort()
  const file = join(setup.folder, `${name}.conf`)
  writeFileSync(file, name === 'nginx' ? nginx(setup, port) : haproxy(setup, port))
  const args = name === 'nginx' ? ['-p', setup.folder, '-c', file, '-e', 'stderr'] : ['-db', '-f', file]
  const child = startChild({ name, role: 'proxy', command: name, args, commands: false })
  for (let waited = 0; !(await accepts(port)); waited += 20) {
    if (waited > 5000) throw new Error(`${name} does not listen\n${child.output}`)
    await sleep(20)
  }
  return { child, port }
}

function nginx(setup: NativeSetup, port: number): string {
  return `daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  scgi_temp_path scgi;
  uwsgi_temp_path uwsgi;
  upstream destination { server 127.0.0.1:${setup.upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${setup.cert};
    ssl_certificate_key ${setup.key};
    location / {
      proxy_pass https://destination;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost:${setup.upstreamPort};
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate ${setup.ca};
      proxy_request_buffering off;
    }
  }
}
`
}

function haproxy(setup: NativeSetup, port: number): string {
  const pair = join(setup.folder, 'haproxy.pem')
  writeFileSync(pair, `${readFileSync(setup.cert, 'utf8')}\n${readFileSync(setup.key, 'utf8')}`, { mode: 0o600 })
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:${port} ssl crt ${pair} alpn http/1.1
  http-request set-header host localhost:${setup.upstreamPort}
  default_backend out
backend out
  server destination 127.0.0.1:${setup.upstreamPort} ssl verify required ca-file ${setup.ca} sni str(localhost) verifyhost localhost
`
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
