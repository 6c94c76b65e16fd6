//! The last words of a process that touched a page which cannot be read (R12): which file, and where.
//!
//! The kernel answers such a touch with SIGBUS, and nothing can be returned from there: the instruction that
//! asked for the byte would only ask again. So the process says one line and ends by the signal's default
//! action. The handler runs wherever the fault was, so it takes no lock, allocates nothing and calls only
//! `write`, `signal`, `raise` and `pause`, which POSIX calls async-signal-safe. It finds the map in a table of
//! fixed size, whose entries are written before a map is handed out and cleared before it is unmapped.
#![expect(
    unsafe_code,
    reason = "part of the one module that may: a signal handler, and the table that it reads"
)]

use parking_lot::Mutex;
use std::io::{Error, Result};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

/// Maps that the table can name; of further ones the line says only that it was a mapped file.
const MAPS_MAX: usize = 16_384;
/// Longest line; longer names are cut.
const LINE_BYTES_MAX: usize = 512;

/// A map that is alive: `start` is 0 in an entry that is free.
struct Entry {
    start: AtomicUsize,
    length: AtomicUsize,
    name: AtomicPtr<u8>,
    name_length: AtomicUsize,
}

static ENTRIES: [Entry; MAPS_MAX] = [const {
    Entry {
        start: AtomicUsize::new(0),
        length: AtomicUsize::new(0),
        name: AtomicPtr::new(ptr::null_mut()),
        name_length: AtomicUsize::new(0),
    }
}; MAPS_MAX];

/// Entries below this were in use once; the handler looks no further.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Entries that are free again. Not touched by the handler.
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Set by the first thread that faults: it alone speaks.
static SPOKEN: AtomicBool = AtomicBool::new(false);

/// A map's place in the table. Dropped before the memory is unmapped.
#[derive(Debug)]
pub(super) struct Named {
    index: usize,
    /// What the entry points to.
    _name: Arc<str>,
}

impl Named {
    /// Enters a map of `length` bytes at `start`; `None` when the table is full.
    pub(super) fn enter(start: *const u8, length: usize, name: &Arc<str>) -> Option<Self> {
        let mut free = FREE.lock();
        let index = free.pop().or_else(|| {
            let next = USED.load(SeqCst);
            (next < MAPS_MAX).then(|| {
                USED.store(next + 1, SeqCst);
                next
            })
        })?;
        drop(free);
        let entry = ENTRIES.get(index)?;
        entry.length.store(length, SeqCst);
        entry.name_length.store(name.len(), SeqCst);
        entry.name.store(name.as_ptr().cast_mut(), SeqCst);
        entry.start.store(start.addr(), SeqCst);
        Some(Self { index, _name: Arc::clone(name) })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(entry) = ENTRIES.get(self.index) {
            entry.start.store(0, SeqCst);
            FREE.lock().push(self.index);
        }
    }
}

/// From now on a page of a mapped file that cannot be read ends the process with one line on stderr that
/// names file and offset, and then by SIGBUS as before. For the whole process; a second call changes nothing.
pub fn explain_unreadable_pages() -> Result<()> {
    // SAFETY: a zeroed sigaction is a valid one: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, and is async-signal-safe.
    let answer = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    if answer == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    if SPOKEN.swap(true, SeqCst) {
        loop {
            // SAFETY: no arguments; the thread that spoke first ends the process meanwhile.
            unsafe { libc::pause() };
        }
    }
    // SAFETY: with SA_SIGINFO the kernel hands over a valid siginfo.
    let info = unsafe { &*info };
    let is_fault = matches!(info.si_code, libc::BUS_ADRERR | libc::BUS_MCEERR_AR | libc::BUS_MCEERR_AO);
    // SAFETY: for SIGBUS the kernel fills in the address; another sender's is only compared with.
    let address = unsafe { info.si_addr() }.addr();
    let mut line = Line::new();
    if is_fault {
        explain(&mut line, address);
    } else {
        line.put(b"piperoll: SIGBUS was sent by a process");
    }
    line.end();
    // SAFETY: the line's bytes are initialised and live until the call returns.
    unsafe { libc::write(2, line.bytes.as_ptr().cast(), line.length) };
    // SAFETY: plain numbers; from here on the signal has its default action,
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: and it comes again as soon as this handler has returned.
    unsafe { libc::raise(signal) };
}

/// Says what stands at `address`.
fn explain(line: &mut Line, address: usize) {
    let used = USED.load(SeqCst).min(MAPS_MAX);
    let found = ENTRIES.iter().take(used).find_map(|entry| {
        let start = entry.start.load(SeqCst);
        let within = address.checked_sub(start).filter(|_| start != 0)?;
        (within < entry.length.load(SeqCst)).then_some((entry, within))
    });
    let Some((entry, within)) = found else {
        line.put(b"piperoll: memory cannot be read (SIGBUS), and it is no mapped segment's");
        return;
    };
    let (name, length) = (entry.name.load(SeqCst), entry.name_length.load(SeqCst));
    // SAFETY: the thread that faulted holds a slice of this map, so its entry is alive and so is its name.
    let name = unsafe { std::slice::from_raw_parts(name, length) };
    line.put(b"piperoll: cannot read ");
    line.put(name);
    line.put(b" at offset ");
    line.number(within);
    line.put(
        b": the device failed or the file was cut (SIGBUS). The process ends, nothing acknowledged is lost. ",
    );
    line.put(b"Look at the kernel's log for the device, then start again");
}

/// A line on the stack.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self { bytes: [0; LINE_BYTES_MAX], length: 0 }
    }

    /// Adds what fits, and leaves room for the end of the line.
    fn put(&mut self, text: &[u8]) {
        for byte in text {
            if self.length + 1 >= LINE_BYTES_MAX {
                return;
            }
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    fn number(&mut self, number: usize) {
        let (mut digits, mut left, mut at) = ([0_u8; 20], number, 20);
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + u8::try_from(left % 10).unwrap_or_default();
            }
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.put(digits.get(at..).unwrap_or_default());
    }

    fn end(&mut self) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = b'\n';
            self.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_is_too_long_and_ends_in_any_case() {
        let mut line = Line::new();
        line.put(b"at ");
        line.number(0);
        line.number(18_446_744_073_709_551_615);
        line.end();
        assert_eq!(&line.bytes[..line.length], b"at 018446744073709551615\n");
        let mut line = Line::new();
        line.put(&[b'x'; 2 * LINE_BYTES_MAX]);
        line.end();
        assert_eq!((line.length, line.bytes[LINE_BYTES_MAX - 1]), (LINE_BYTES_MAX, b'\n'));
    }

    #[test]
    fn an_address_is_found_in_the_map_that_is_alive() {
        let bytes = [0_u8; 100];
        let name: Arc<str> = "logs/a/b/0.log".into();
        let said = |address: usize| {
            let mut line = Line::new();
            explain(&mut line, address);
            String::from_utf8(line.bytes[..line.length].to_vec()).unwrap()
        };
        let named = Named::enter(bytes.as_ptr(), bytes.len(), &name).unwrap();
        let at = bytes.as_ptr().addr();
        assert!(said(at + 42).starts_with("piperoll: cannot read logs/a/b/0.log at offset 42: "));
        assert!(said(at + 100).contains("no mapped segment"));
        drop(named);
        assert!(said(at + 42).contains("no mapped segment"));
    }
}
