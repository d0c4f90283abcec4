mod admin;
mod doctor;
mod smoke;
