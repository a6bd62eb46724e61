"""Folders of images on this machine: scan them, copy them into a store, index them."""
