mod durability;
mod smoke;
