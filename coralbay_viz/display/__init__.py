"""From the state of a session to layers, slices and figures, independent of the viewer that draws them."""
