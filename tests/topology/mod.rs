mod broken;
mod ledger;
mod load;
mod master_killed;
mod report;
mod smoke;
mod verdict;
