//! What an append may be, as far as it can be judged without the log.

use super::{Append, RECORDS_PER_BATCH_MAX};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{MetadataRecord, VersionedRecord};
use crate::store::Txn;

impl Append {
    /// Checks the rules that hold whatever is in the log. Every log refuses what breaks them.
    ///
    /// - There are 1 to [`RECORDS_PER_BATCH_MAX`] records.
    /// - The expected offset is given outside a transaction, may be given with its End, and is not given with its Begin or
    ///   within it: those records get their offsets at the End.
    /// - A Begin stands first and an End last in their batches, which are marked so (KIP-868); an Abort is never written,
    ///   since Kafka's loader may show what it aborted. A batch outside any transaction has neither Begin nor End, or is a
    ///   whole transaction, as Kafka's bootstrap is.
    ///
    /// # Errors
    /// `Invalid`, with the rule.
    pub fn check(&self) -> Result<()> {
        let rules = [check_count(&self.records), check_expected(self), check_transaction(self.txn, &self.records)];
        rules.into_iter().collect::<Result<(), String>>().map_err(|rule| Error::not_applied(ErrorKind::Invalid, rule))
    }
}

fn check_count(records: &[VersionedRecord]) -> Result<(), String> {
    match records.len() {
        0 => Err("there are no records to append".to_owned()),
        1..=RECORDS_PER_BATCH_MAX => Ok(()),
        many => Err(format!("one append has at most {RECORDS_PER_BATCH_MAX} records, not {many}")),
    }
}

fn check_expected(append: &Append) -> Result<(), String> {
    match (append.txn, append.expected) {
        (Txn::None, None) => Err("outside a transaction the expected offset must be given".to_owned()),
        (Txn::Begin | Txn::In, Some(expected)) => {
            Err(format!("within a transaction no offset can be expected, since its End decides; {expected} was given"))
        }
        _ => Ok(()),
    }
}

fn check_transaction(txn: Txn, records: &[VersionedRecord]) -> Result<(), String> {
    let last = records.len().saturating_sub(1);
    let mut begins = false;
    let mut ends = false;
    for (index, record) in records.iter().enumerate() {
        match &record.record {
            MetadataRecord::BeginTransaction(_) if index == 0 => begins = true,
            MetadataRecord::EndTransaction(_) if index == last => ends = true,
            MetadataRecord::BeginTransaction(_) => return Err("a Begin must be the first record of its batch".into()),
            MetadataRecord::EndTransaction(_) => return Err("an End must be the last record of its batch".into()),
            MetadataRecord::AbortTransaction(_) => {
                return Err("a transaction is aborted by not ending it; Abort is never written".into());
            }
            _ => {}
        }
    }
    let (sound, rule) = match txn {
        Txn::None => (begins == ends, "a batch outside any transaction has Begin and End or neither"),
        Txn::Begin => (begins && !ends, "a batch that opens a transaction has a Begin and no End"),
        Txn::In => (!begins && !ends, "a batch within a transaction has no Begin and no End"),
        Txn::End { .. } => (!begins && ends, "a batch that closes a transaction has an End and no Begin"),
    };
    if sound { Ok(()) } else { Err(rule.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{KRaftLeaderEpoch, Offset};
    use crate::record::{AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, NoOpRecord};

    fn append(txn: Txn, expected: Option<i64>, text: &str) -> Append {
        let record = |letter| -> MetadataRecord {
            match letter {
                'B' => BeginTransactionRecord::default().into(),
                'E' => EndTransactionRecord::default().into(),
                'A' => AbortTransactionRecord::default().into(),
                _ => NoOpRecord::default().into(),
            }
        };
        let records = text.chars().map(|letter| VersionedRecord::new(record(letter), 0)).collect();
        Append { epoch: KRaftLeaderEpoch(1), expected: expected.map(Offset), txn, records }
    }

    #[test]
    fn a_begin_is_first_an_end_is_last_and_an_abort_is_nowhere() {
        use Txn::{Begin, In, None};
        let end = Txn::End { batches: 2 };
        for (txn, text, sound) in [
            (None, "n", true),
            (None, "nnn", true),
            (None, "BnnE", true),
            (None, "BE", true),
            (None, "Bn", false),
            (None, "nE", false),
            (None, "nBnE", false),
            (None, "BnEn", false),
            (None, "BnEBnE", false),
            (None, "A", false),
            (Begin, "B", true),
            (Begin, "Bnn", true),
            (Begin, "nB", false),
            (Begin, "n", false),
            (Begin, "BnE", false),
            (In, "n", true),
            (In, "Bn", false),
            (In, "nE", false),
            (In, "nA", false),
            (end, "nE", true),
            (end, "E", true),
            (end, "n", false),
            (end, "En", false),
            (end, "BnE", false),
        ] {
            let expected = (txn == None).then_some(5);
            assert_eq!(append(txn, expected, text).check().is_ok(), sound, "{txn:?} {text}");
        }
    }

    #[test]
    fn an_offset_is_expected_outside_transactions_and_at_their_end() {
        let end = Txn::End { batches: 2 };
        for (txn, text, with, without) in [
            (Txn::None, "n", true, false),
            (Txn::Begin, "B", false, true),
            (Txn::In, "n", false, true),
            (end, "E", true, true),
        ] {
            assert_eq!(append(txn, Some(5), text).check().is_ok(), with, "{txn:?}");
            assert_eq!(append(txn, None, text).check().is_ok(), without, "{txn:?}");
        }
    }

    #[test]
    fn records_are_counted() {
        for (count, sound) in [(0, false), (1, true), (RECORDS_PER_BATCH_MAX, true), (RECORDS_PER_BATCH_MAX + 1, false)]
        {
            let append = append(Txn::None, Some(5), &"n".repeat(count));
            assert_eq!(append.check().is_ok(), sound, "{count}");
        }
    }
}
