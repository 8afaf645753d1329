//! What happened, by ZooKeeper's own account: its transaction log (`org.apache.zookeeper.server.persistence.FileTxnLog`).
//!
//! A file is a header (magic `ZKLG`, version 2, database id) and entries: checksum, length, transaction, end mark. A server
//! writes each transaction before it answers, with the session that asked for it, also those that it refused.

use std::fs;
use std::path::Path;

use crate::cli::Failure;

const MAGIC: &[u8] = b"ZKLG";
const HEADER_BYTES: usize = 16;
const END_MARK: u8 = 0x42;

/// `ZooDefs.OpCode`, as far as they change data.
mod op {
    pub(super) const CREATE: i32 = 1;
    pub(super) const DELETE: i32 = 2;
    pub(super) const SET_DATA: i32 = 5;
    pub(super) const SET_ACL: i32 = 7;
    pub(super) const CHECK: i32 = 13;
    pub(super) const MULTI: i32 = 14;
    pub(super) const CREATE2: i32 = 15;
    pub(super) const ERROR: i32 = -1;
}

/// `KeeperException.Code.RUNTIMEINCONSISTENCY`: what the ops behind the failed one of a multi get.
const NOT_TRIED: i32 = -2;

/// A change that a transaction makes, or would have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node is created.
    Create {
        /// The node, chroot and all.
        path: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// A node's data are set.
    Set {
        /// The node, chroot and all.
        path: String,
        /// The data.
        data: Vec<u8>,
        /// Its version afterwards.
        version: i32,
    },
    /// A node is deleted.
    Delete {
        /// The node, chroot and all.
        path: String,
    },
    /// A node has this version: no change at all.
    Check {
        /// The node, chroot and all.
        path: String,
        /// Its version.
        version: i32,
    },
    /// A node's access list is set.
    Acl {
        /// The node, chroot and all.
        path: String,
    },
}

impl Change {
    /// The node.
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Set { path, .. }
            | Self::Delete { path }
            | Self::Check { path, .. }
            | Self::Acl { path } => path,
        }
    }

    /// Whether something is another afterwards.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Check { .. })
    }
}

/// A request that ZooKeeper took into its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its place in the order.
    pub zxid: i64,
    /// Who asked for it.
    pub session: i64,
    /// What it changed; or the code of the first op that failed, and then it changed nothing.
    pub result: Result<Vec<Change>, i32>,
}

/// All transactions on data of a standalone server, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZkHistory {
    /// In the order of their zxids. Sessions that come and go are not among them.
    pub transactions: Vec<Transaction>,
}

impl ZkHistory {
    /// Reads all files of a server's folder. It may run: what it has acknowledged is there.
    ///
    /// # Errors
    /// The files can't be read, or are no transaction logs.
    pub fn read(server_folder: &Path) -> Result<Self, Failure> {
        let folder = server_folder.join("data/version-2");
        let unreadable = |error: &std::io::Error| {
            Failure::failed(format!("ZooKeeper's transaction log in {} can't be read", folder.display())).because(error)
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&error))? {
            let path = entry.map_err(|error| unreadable(&error))?.path();
            let first = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("log."));
            if let Some(zxid) = first.and_then(|zxid| i64::from_str_radix(zxid, 16).ok()) {
                files.push((zxid, path));
            }
        }
        files.sort();
        let mut transactions = Vec::new();
        for (_, path) in files {
            let bytes = fs::read(&path).map_err(|error| unreadable(&error))?;
            transactions
                .extend(transactions_of(&bytes).map_err(|reason| {
                    Failure::failed(format!("{} can't be understood", path.display())).why(reason)
                })?);
        }
        Ok(Self { transactions })
    }
}

/// The transactions of a file, up to the zeros behind the last.
fn transactions_of(file: &[u8]) -> Result<Vec<Transaction>, String> {
    if !file.starts_with(MAGIC) {
        return Err("it does not begin with ZKLG".to_owned());
    }
    let mut rest = Jute(file.get(HEADER_BYTES..).unwrap_or_default());
    let mut transactions = Vec::new();
    // A server that was killed leaves no whole entry at the end; the zeros were there before it.
    while rest.0.len() > 12 {
        rest.long()?;
        let length = rest.int()?;
        if length <= 0 {
            break;
        }
        let Ok(entry) = rest.take(length) else { break };
        match rest.byte() {
            Ok(END_MARK) => {}
            _ => break,
        }
        transactions.extend(transaction(Jute(entry))?);
    }
    Ok(transactions)
}

fn transaction(mut entry: Jute<'_>) -> Result<Option<Transaction>, String> {
    let session = entry.long()?;
    entry.int()?; // the client's own number of the request
    let zxid = entry.long()?;
    entry.long()?; // the time
    let kind = entry.int()?;
    let result = match kind {
        op::MULTI => multi(&mut entry)?,
        op::ERROR => Err(entry.int()?),
        _ => match change(kind, &mut entry)? {
            Some(change) => Ok(vec![change]),
            None => return Ok(None),
        },
    };
    Ok(Some(Transaction { zxid, session, result }))
}

fn multi(entry: &mut Jute<'_>) -> Result<Result<Vec<Change>, i32>, String> {
    let count = entry.int()?;
    let mut changes = Vec::new();
    let mut failed = None;
    for _ in 0..count {
        let kind = entry.int()?;
        let mut body = Jute(entry.buffer()?);
        if kind == op::ERROR {
            let code = body.int()?;
            // The first code that says why; those before and behind it don't.
            failed = match failed {
                None | Some(NOT_TRIED | 0) => Some(code),
                known => known,
            };
        } else if let Some(change) = change(kind, &mut body)? {
            changes.push(change);
        }
    }
    Ok(failed.map_or(Ok(changes), Err))
}

/// `None` for what changes no data.
fn change(kind: i32, body: &mut Jute<'_>) -> Result<Option<Change>, String> {
    Ok(Some(match kind {
        op::CREATE | op::CREATE2 => Change::Create { path: body.text()?, data: body.buffer()?.to_vec() },
        op::DELETE => Change::Delete { path: body.text()? },
        op::SET_DATA => Change::Set { path: body.text()?, data: body.buffer()?.to_vec(), version: body.int()? },
        op::SET_ACL => Change::Acl { path: body.text()? },
        op::CHECK => Change::Check { path: body.text()?, version: body.int()? },
        _ => return Ok(None),
    }))
}

/// Reads ZooKeeper's encoding from the front of bytes.
struct Jute<'a>(&'a [u8]);

impl<'a> Jute<'a> {
    fn take(&mut self, length: i32) -> Result<&'a [u8], String> {
        // -1 stands for none.
        let length = usize::try_from(length.max(0)).map_err(|error| error.to_string())?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends in the middle of a transaction")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("it ends in the middle of a transaction")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn int(&mut self) -> Result<i32, String> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_be_bytes)
    }

    fn buffer(&mut self) -> Result<&'a [u8], String> {
        let length = self.int()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, String> {
        let bytes = self.buffer()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| "a path is no UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&i32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
    }

    fn entry(session: i64, zxid: i64, kind: i32, body: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> = [session.to_be_bytes().to_vec(), 7i32.to_be_bytes().to_vec()].concat();
        let rest = [zxid.to_be_bytes().to_vec(), 8i64.to_be_bytes().to_vec(), kind.to_be_bytes().to_vec()].concat();
        let whole = [numbers, rest, body.to_vec()].concat();
        let length = i32::try_from(whole.len()).unwrap().to_be_bytes();
        [&9i64.to_be_bytes()[..], &length, &whole, &[END_MARK]].concat()
    }

    fn file(entries: &[Vec<u8>]) -> Vec<u8> {
        [b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec(), entries.concat(), vec![0; 64]].concat()
    }

    fn sub(kind: i32, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &i32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    }

    #[test]
    fn changes_are_read_with_their_session_and_order() {
        let set = [text("/a"), text("x"), 3i32.to_be_bytes().to_vec()].concat();
        let check = [text("/e"), 5i32.to_be_bytes().to_vec()].concat();
        let multi = [2i32.to_be_bytes().to_vec(), sub(op::CHECK, &check), sub(op::SET_DATA, &set)].concat();
        let file =
            file(&[entry(1, 10, -10, &[0; 4]), entry(1, 11, op::SET_DATA, &set), entry(2, 12, op::MULTI, &multi)]);
        let set = || Change::Set { path: "/a".into(), data: b"x".to_vec(), version: 3 };
        let check = Change::Check { path: "/e".into(), version: 5 };
        let expected = vec![
            Transaction { zxid: 11, session: 1, result: Ok(vec![set()]) },
            Transaction { zxid: 12, session: 2, result: Ok(vec![check, set()]) },
        ];
        assert_eq!(transactions_of(&file), Ok(expected), "and a session that opens is no change");
    }

    #[test]
    fn a_multi_that_failed_changed_nothing_and_says_why() {
        let error = |code: i32| sub(op::ERROR, &code.to_be_bytes());
        let check = [text("/e"), 5i32.to_be_bytes().to_vec()].concat();
        for (subs, code) in [
            (vec![error(-103), error(NOT_TRIED)], -103),
            (vec![sub(op::CHECK, &check), error(-101), error(NOT_TRIED)], -101),
            (vec![error(0), error(-110), error(NOT_TRIED)], -110),
        ] {
            let body = [i32::try_from(subs.len()).unwrap().to_be_bytes().to_vec(), subs.concat()].concat();
            let found = transactions_of(&file(&[entry(1, 2, op::MULTI, &body)])).unwrap();
            assert_eq!(found, [Transaction { zxid: 2, session: 1, result: Err(code) }]);
        }
    }

    #[test]
    fn what_is_no_transaction_log_is_refused_and_a_torn_end_is_none() {
        assert!(transactions_of(b"PK\x03\x04").unwrap_err().contains("ZKLG"));
        let set = [text("/a"), text("x"), 3i32.to_be_bytes().to_vec()].concat();
        let whole = file(&[entry(1, 2, op::SET_DATA, &set)]);
        let torn = &whole[..whole.len() - 64 - 3];
        assert_eq!(transactions_of(torn), Ok(Vec::new()));
    }
}
