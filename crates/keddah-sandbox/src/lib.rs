//! Real systemd nodes on one machine, by systemd-nspawn, in a network with no way out.
