-- KEYS  those of the partition
-- ARGV  consumer
return {'ok', remove_consumer(ARGV[1])}
