"""The mathematics: processes, preconditioning, formulations, objectives, temporal differences, samplers.

Nothing here knows of files, experiments or training. Shapes: images are (N, C, H, W); one value an
image (a time, a noise level, a coefficient, a weight) is (N, 1, 1, 1), so that it broadcasts. Data lie in
[-1, 1], and sigma is the standard deviation of the noise in the same units. Times and what follows from
them are float64 and meet images in the images' precision (`processes.like`). In training they stay on the CPU,
on any device of the images: what is known on the host (which pairs are valid) then needs no wait for the device.
"""
