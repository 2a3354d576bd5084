// A Rust reactor whose state is a thread-local map and strings: what a freeze has to keep of Rust's library.
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

thread_local! {
    static SEEN: RefCell<BTreeMap<i32, i32>> = RefCell::new(BTreeMap::new());
    static WORDS: RefCell<HashMap<String, i32>> = RefCell::new(HashMap::new());
}

#[no_mangle]
pub extern "C" fn add(value: i32) -> i32 {
    let sum = SEEN.with(|seen| {
        let mut seen = seen.borrow_mut();
        *seen.entry(value % 5).or_insert(0) += value;
        seen.iter().enumerate().fold(0i32, |sum, (i, (key, n))| {
            sum.wrapping_add((i as i32 + 1).wrapping_mul(*key).wrapping_mul(*n))
        })
    });
    WORDS.with(|words| {
        let mut words = words.borrow_mut();
        words.insert(format!("{}:{}", value, "x".repeat((value % 7) as usize)), value);
        sum.wrapping_add(words.keys().map(|word| word.len() as i32).sum::<i32>())
    })
}
