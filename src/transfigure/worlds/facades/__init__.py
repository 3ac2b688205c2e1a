"""A procedural street of house fronts: geometry, materials, light, and the brushes that paint them."""
