//! The switch between clients and endpoints that are all in one thread's memory.
