//! Real redis-servers for tests.
