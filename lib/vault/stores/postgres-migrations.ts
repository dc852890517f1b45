/**
 * The tables in PostgreSQL, in the schema `sluice`, and how they came to be. A migration that was released is never
 * changed: what is to be different is a further one at the end.
 *
 *     rows        (tab, key) → value: all tables of the store; tab is the table's number (postgres-tables.ts)
 *     generation  one row: how many batches had `raise`; each raise is told on the channel `sluice`
 *     turn        empty; locked by whoever writes
 *     migrations  what was done here
 */
import { SluiceError } from '../../errors.ts'

/** Runs one statement, or several without values. */
export type Run = (text: string, values?: readonly unknown[]) => Promise<unknown[][]>

/**
 * Brings the database to the newest version, under a lock, all or nothing. Throws ERR_CONFIG when the database was
 * written by a newer Sluice or does not hold its texts as UTF-8.
 */
export async function migrate(run: Run): Promise<void> {
  const [[encoding] = []] = await run('show server_encoding')
  if (encoding !== 'UTF8') throw fault(`the encoding of the database has to be UTF8, and is ${String(encoding)}`)
  if ((await versionOf(run)) === MIGRATIONS.length) return
  await run('begin')
  try {
    await run('set local statement_timeout = 0')
    await run(`select pg_advisory_xact_lock(hashtext('sluice migrations'))`)
    await advance(run)
    await run('commit')
  } catch (cause) {
    await run('rollback').catch(() => {})
    throw cause
  }
}

async function advance(run: Run): Promise<void> {
  const [[schema] = []] = await run(`select to_regnamespace('sluice')::text`)
  if (schema === null) await run('create schema sluice')
  const from = await versionOf(run)
  if (from > MIGRATIONS.length) throw fault(`the database was written by a newer Sluice (version ${from})`)
  if (from === 0) await run('create table sluice.migrations (version int primary key, done timestamptz not null)')
  for (let version = from; version < MIGRATIONS.length; version++) {
    await run(MIGRATIONS[version] as string)
    await run('insert into sluice.migrations values ($1, now())', [version + 1])
  }
}

/** 0: there is nothing yet. */
async function versionOf(run: Run): Promise<number> {
  const [[table] = []] = await run(`select to_regclass('sluice.migrations')::text`)
  if (table === null) return 0
  const [[version] = []] = await run('select coalesce(max(version), 0) from sluice.migrations')
  return Number(version)
}

const fault = (why: string) => new SluiceError('ERR_CONFIG', `vault.url: ${why}`, { names: ['vault.url'] })

/**
 * `write` takes a group of batches, none of which touches what another one does (postgres-writer.ts), checks the
 * conditions (`c_`) and makes the changes (`w_`) of all batches whose conditions hold; a value of null deletes. It
 * returns each refused batch with its first condition that does not hold, and the generation if it was raised. One
 * writer at a time: a condition is about rows that are not there, too, and those cannot be locked.
 *
 * `offset 0` makes what is inside a query of its own, by the primary key, however small the table was when it was planned.
 *
 * kinds of conditions: 0 no such row, 1 some such row, 2 no row from key to until, 3 a row of exactly this value
 */
const MIGRATIONS: readonly string[] = [
  `
  create table sluice.rows (
    tab smallint not null,
    key text collate "C" not null,
    value bytea not null,
    primary key (tab, key)
  );
  alter table sluice.rows alter column value set storage external;

  create table sluice.generation (only_row boolean primary key default true check (only_row), value bigint not null);
  insert into sluice.generation (value) values (0);

  create table sluice.turn ();

  create function sluice.write(
    c_batch int[], c_kind smallint[], c_tab smallint[], c_key text[], c_until text[], c_value bytea[],
    w_batch int[], w_tab smallint[], w_key text[], w_value bytea[],
    raising int[],
    out r_batch int[], out r_tab smallint[], out r_key text[], out raised bigint
  ) language plpgsql as $$
  declare
    raises int;
  begin
    lock table sluice.turn in exclusive mode;

    select array_agg(f.batch order by f.batch), array_agg(f.tab order by f.batch), array_agg(f.key order by f.batch)
    into r_batch, r_tab, r_key
    from (
      select distinct on (c.batch) c.batch, c.tab, coalesce(u.key, c.key) as key
      from unnest(c_batch, c_kind, c_tab, c_key, c_until, c_value)
        with ordinality as c (batch, kind, tab, key, until, value, n)
      left join lateral (
        select x.key, x.value from sluice.rows x where c.kind <> 2 and x.tab = c.tab and x.key = c.key offset 0
      ) r on true
      left join lateral (
        select x.key from sluice.rows x
        where c.kind = 2 and x.tab = c.tab and x.key >= c.key and x.key < c.until
        order by x.key limit 1
      ) u on true
      where case c.kind
        when 0 then r.key is not null
        when 1 then r.key is null
        when 2 then u.key is not null
        else r.value is distinct from c.value
      end
      order by c.batch, c.n
    ) f;
    r_batch := coalesce(r_batch, '{}');

    delete from sluice.rows where ctid = any (array (
      select r.place
      from unnest(w_batch, w_tab, w_key, w_value) as w (batch, tab, key, value), lateral (
        select x.ctid as place from sluice.rows x where x.tab = w.tab and x.key = w.key offset 0
      ) r
      where w.value is null and w.batch <> all (r_batch)
    ));

    insert into sluice.rows (tab, key, value)
    select w.tab, w.key, w.value
    from unnest(w_batch, w_tab, w_key, w_value) as w (batch, tab, key, value)
    where w.value is not null and w.batch <> all (r_batch)
    on conflict (tab, key) do update set value = excluded.value;

    select count(*) into raises from unnest(raising) as x (batch) where x.batch <> all (r_batch);
    if raises > 0 then
      update sluice.generation set value = value + raises returning value into raised;
      perform pg_notify('sluice', raised::text);
    end if;
  end
  $$;
  `
]
