mod admin;
mod doctor;
mod durability;
mod smoke;
