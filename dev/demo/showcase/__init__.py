"""The demo: control plane, simulator and operator as processes, and the story they play."""
