//! Pure compilation: an inventory and the facts of its nodes become the resources of the desired fleet.
