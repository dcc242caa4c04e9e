//! What a registry keeps on disk: one file of redb, a transaction for each change.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
/// Names as keys, so that a change replaces what stood.
const NEEDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("needs");
const REGISTERED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("registered");
const THIS_FORMAT: u64 = 1;

/// Which table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// What programs require.
    Needs,
    /// What is registered.
    Registered,
}

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    file: Arc<Database>,
}

/// All pairs of a table.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl Store {
    /// Opens or makes it. The error says what is wrong with it; nothing is overwritten.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| {
            format!(
                "the registry's state {} cannot be used: {error}; end the registry that has it \
                 open, or move the file away and start with an empty one",
                path.display()
            )
        };
        let file = Database::create(path).map_err(|error| wrong(&error))?;
        let store = Self { file: Arc::new(file) };
        match store.begin().map_err(|error| wrong(&error))? {
            THIS_FORMAT => Ok(store),
            other => {
                Err(wrong(&format!("it has format {other}, this program knows {THIS_FORMAT}")))
            }
        }
    }

    fn begin(&self) -> Result<u64, redb::Error> {
        let change = self.file.begin_write()?;
        let mut format = change.open_table(FORMAT)?;
        let known = format.get("format")?.map(|it| it.value());
        if known.is_none() {
            format.insert("format", THIS_FORMAT)?;
        }
        drop(format);
        change.open_table(NEEDS)?;
        change.open_table(REGISTERED)?;
        change.commit()?;
        Ok(known.unwrap_or(THIS_FORMAT))
    }

    /// Everything in a table.
    pub(super) fn all(&self, kept: Kept) -> Result<Pairs, String> {
        self.read(kept).map_err(|error| format!("the registry's state cannot be read: {error}"))
    }

    fn read(&self, kept: Kept) -> Result<Pairs, redb::Error> {
        let table = self.file.begin_read()?.open_table(table(kept))?;
        let mut pairs = Vec::new();
        for pair in table.iter()? {
            let (key, value) = pair?;
            pairs.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(pairs)
    }

    /// Writes or removes one pair, and returns when it is on the disk.
    pub(super) async fn put(
        &self,
        kept: Kept,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), String> {
        let store = self.clone();
        let written =
            tokio::task::spawn_blocking(move || store.write(kept, &key, value.as_deref()));
        let written = written.await.map_err(|error| error.to_string())?;
        written.map_err(|error| format!("the registry's disk: {error}"))
    }

    fn write(&self, kept: Kept, key: &[u8], value: Option<&[u8]>) -> Result<(), redb::Error> {
        let change = self.file.begin_write()?;
        let mut table = change.open_table(table(kept))?;
        match value {
            Some(value) => drop(table.insert(key, value)?),
            None => drop(table.remove(key)?),
        }
        drop(table);
        change.commit()?;
        Ok(())
    }
}

fn table(kept: Kept) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    match kept {
        Kept::Needs => NEEDS,
        Kept::Registered => REGISTERED,
    }
}
