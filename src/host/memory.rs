//! Memory that the host fills, and one block of it that serves request after request.
//!
//! All headers of a request come in one block. The allocator would find another one each time: of the thousands of
//! about that size that reading a large policy leaves behind, none of which is in any cache.
#![expect(unsafe_code, reason = "the host hands memory over by its address")]

use std::{cell::Cell, mem::ManuallyDrop, ops::Deref};

/// The size of the block that is kept: more than the headers of most requests take.
const KEPT: usize = 4096;

thread_local! {
    /// The block, while nothing is in it and the host may not have it; else without capacity.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The block, while the host may have it.
    static OFFERED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What the host wrote in answer to one call. Dropping it keeps its memory for the next one.
pub(super) struct Block(Vec<u8>);

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.0.capacity() == KEPT {
            SPARE.set(std::mem::take(&mut self.0));
        }
    }
}

/// Memory for `size` bytes, for the host.
pub(super) fn lend(size: usize) -> *mut u8 {
    let offered = OFFERED.take();
    let bytes = if offered.capacity() >= size.max(1) {
        offered
    } else {
        OFFERED.set(offered);
        Vec::with_capacity(size)
    };
    ManuallyDrop::new(bytes).as_mut_ptr()
}

/// Makes the host's memory a `Vec` again.
///
/// # Safety
///
/// `data` is from [`lend`] for so many bytes, outside of [`in_kept`]; the host has filled them and leaves them to us.
pub(super) unsafe fn taken(data: *mut u8, size: usize) -> Vec<u8> {
    // SAFETY: so much was allocated for it.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Makes a call for which the host asks for memory at most once, and has it use the block that is kept where that is
/// large enough.
///
/// # Safety
///
/// What `call` gives is from [`lend`] during this very call, for so many bytes; the host has filled them and leaves
/// them to us.
pub(super) unsafe fn in_kept<E>(call: impl FnOnce() -> Result<(*mut u8, usize), E>) -> Result<Block, E> {
    let spare = SPARE.take();
    OFFERED.set(if spare.capacity() == KEPT { spare } else { Vec::with_capacity(KEPT) });
    let answer = call();
    let left = OFFERED.take();
    let is_kept = left.capacity() == 0;
    SPARE.set(left);
    let (data, size) = answer?;
    let capacity = if is_kept { KEPT } else { size };
    // SAFETY: it is the block, which is on offer no more, or so much was allocated for it.
    Ok(Block(unsafe { Vec::from_raw_parts(data, size, capacity) }))
}
