import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
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
  /** For `nginx+lua`: a file of lines `ID VALUE`, its table in memory. */
  readonly table?: string
}

/** `nginx+lua` puts a token's value in the place of each `{{ ID }}`, from a table in memory, and checks nothing. */
export type NativeName = 'nginx' | 'nginx+lua' | 'haproxy'

/** What a peer says of its version; null where it is not installed. */
export function nativeVersion(name: NativeName): string | null {
  const { error, stdout, stderr } = spawnSync(name === 'haproxy' ? name : 'nginx', ['-v'], { encoding: 'utf8' })
  if (error !== undefined || (name === 'nginx+lua' && luaModules() === null)) return null
  return /\d+\.\d+[\w.+~-]*/.exec(stdout + stderr)?.[0] ?? 'unknown'
}

/** Starts nginx or HAProxy with one worker in front of the destination; null where it is not installed. */
export async function startNative(
  name: NativeName,
  setup: NativeSetup
): Promise<{ readonly child: Child; readonly port: number } | null> {
  if (nativeVersion(name) === null) return null
  const port = await freePort()
  const file = join(setup.folder, `${name}.conf`)
  writeFileSync(file, name === 'haproxy' ? haproxy(setup, port) : nginx(name, setup, port))
  const args = name === 'haproxy' ? ['-db', '-f', file] : ['-p', setup.folder, '-c', file, '-e', 'stderr']
  const command = name === 'haproxy' ? name : 'nginx'
  const child = startChild({ name, role: 'proxy', command, args, commands: false })
  for (let waited = 0; !(await accepts(port)); waited += 20) {
    if (waited > 60_000) throw new Error(`${name} does not listen\n${child.output}`)
    await sleep(20)
  }
  return { child, port }
}

function nginx(name: NativeName, setup: NativeSetup, port: number): string {
  const lua = name === 'nginx+lua'
  return `${lua ? (luaModules() ?? []).map((file) => `load_module ${file};\n`).join('') : ''}daemon off;
master_process off;
pid ${name}.pid;
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
  ${lua ? luaTable(setup.table ?? '') : ''}
  upstream destination { server 127.0.0.1:${setup.upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${setup.cert};
    ssl_certificate_key ${setup.key};
    location / {
      ${lua ? LUA_SUBSTITUTION : ''}
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

/** The files of nginx's Lua module and of what it needs; none where it is built in; null where there is none. */
function luaModules(): string[] | null {
  const built = spawnSync('nginx', ['-V'], { encoding: 'utf8' }).stderr ?? ''
  if (/lua[-_]nginx[-_]module|ngx_lua/.test(built)) return []
  const folder = /--modules-path=(\S+)/.exec(built)?.[1] ?? ''
  const files = ['ndk_http_module.so', 'ngx_http_lua_module.so'].map((file) => join(folder, file))
  return files.every((file) => existsSync(file)) ? files : null
}

function luaTable(file: string): string {
  return `init_by_lua_block {
    tokens = {}
    for line in io.lines("${file}") do
      local id, value = line:match("^(%S+) (%S+)$")
      tokens[id] = value
    end
  }`
}

const LUA_SUBSTITUTION = `client_body_buffer_size 64k;
      access_by_lua_block {
        ngx.req.read_body()
        ngx.req.set_body_data((string.gsub(ngx.req.get_body_data(), "{{ ([%x-]+) }}", tokens)))
      }`

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
