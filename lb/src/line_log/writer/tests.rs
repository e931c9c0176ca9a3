//! The writer round by round, over a disk that fills.

use std::time::UNIX_EPOCH;

use super::{
    super::{MAX_PENDING_BYTES, Sender, tests::call},
    *,
};
use crate::access_log::CallRecord;

/// A disk with so many bytes free.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (text, free) = &mut *lock(&self.0);
        let taken = bytes.len().min(*free);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        text.extend_from_slice(&bytes[..taken]);
        *free -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk {
    fn free(&self, bytes: usize) {
        lock(&self.0).1 = bytes;
    }

    fn text(&self) -> String {
        String::from_utf8(lock(&self.0).0.clone()).unwrap()
    }
}

fn writer() -> (Writer, Sender, Disk) {
    let shared = Arc::<Shared>::default();
    let mut writer = Writer::new("log", Target::StandardError, shared.clone()).unwrap();
    let disk = Disk::default();
    disk.free(usize::MAX);
    writer.output = Box::new(disk.clone());
    let slot = Arc::<Mutex<Pending>>::default();
    lock(&shared.slots).push(slot.clone());
    (writer, Sender { slot, writer: thread::current() }, disk)
}

fn record(sender: &Sender, calls: usize) {
    let call: CallRecord<'_> = call(UNIX_EPOCH, Duration::ZERO);
    (0..calls).for_each(|_| sender.record(&call));
}

fn check(writer: &Writer, lines: u64, dropped: u64) {
    let written = &writer.shared.written;
    assert_eq!((written.lines(), written.dropped()), (lines, dropped));
}

/// The length of a line of [`record`].
fn line_bytes() -> usize {
    let (mut writer, sender, disk) = writer();
    record(&sender, 1);
    writer.round();
    disk.text().len()
}

#[test]
fn lines_that_find_no_place_are_counted_and_the_log_says_so_once() {
    let (mut writer, sender, disk) = writer();
    let fit = MAX_PENDING_BYTES.div_ceil(line_bytes());
    record(&sender, fit + 5);
    writer.round();
    check(&writer, fit as u64, 5);
    assert!(disk.text().ends_with(",\"dropped\":5}\n"), "{}", disk.text().len());
    record(&sender, 1);
    writer.round();
    writer.round();
    check(&writer, fit as u64 + 1, 5);
    assert_eq!(disk.text().matches("\"dropped\":").count(), 1);
    assert_eq!(disk.text().lines().count(), fit + 2);
}

#[test]
fn a_full_disk_loses_lines_and_tears_none_once_it_has_room() {
    let (mut writer, sender, disk) = writer();
    disk.free(2 * line_bytes() + 10);
    record(&sender, 5);
    writer.round();
    check(&writer, 2, 3);
    record(&sender, 1);
    writer.round();
    check(&writer, 2, 4);
    disk.free(usize::MAX);
    record(&sender, 1);
    writer.round();
    check(&writer, 3, 4);
    let text = disk.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[2].len(), 10, "what the disk took of the third");
    assert_eq!(lines[3], lines[0]);
    assert!(lines[4].ends_with(",\"dropped\":4}"), "{text}");
}

#[test]
fn buffers_keep_their_place_in_memory() {
    let (mut writer, sender, _) = writer();
    record(&sender, 100);
    writer.round();
    record(&sender, 100);
    writer.round();
    let place = |sender: &Sender| lock(&sender.slot).text.as_ptr();
    let first = place(&sender);
    record(&sender, 100);
    assert_eq!(place(&sender), first);
    writer.round();
    record(&sender, 100);
    writer.round();
    assert_eq!(place(&sender), first, "back after two rounds");
}
