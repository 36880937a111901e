package container

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/client"
)

// Pull fetches an image from its registry. Without auth the login that docker
// login stored on the host is used, when there is one. Pulls of the same image
// at once are one. progress may be nil and must not block.
func (e *Engine) Pull(ctx context.Context, ref string, auth *Auth, progress func(Progress)) (Image, error) {
	ref, err := ParseReference(ref, "")
	if err != nil {
		return Image{}, err
	}
	op := "pull image " + ref
	if auth == nil {
		if auth, err = e.storedLogin(ctx, registryOf(ref)); err != nil {
			return Image{}, fmt.Errorf("%s: %w", op, err)
		}
	}
	key := ref
	if auth != nil { // one with a wrong password must not fail one with the right
		key = strings.Join([]string{ref, auth.Username, auth.Password, auth.IdentityToken}, "\x00")
	}
	told := func(what any) {
		if p, ok := what.(Progress); ok && progress != nil {
			progress(p)
		}
	}
	return e.pulls.do(ctx, key, told, func(ctx context.Context, tell func(any)) (Image, error) {
		if err := e.pull(ctx, ref, auth, tell); err != nil {
			return Image{}, pullError(ctx, op, err, auth)
		}
		return e.Inspect(ctx, ref)
	})
}

func (e *Engine) pull(ctx context.Context, ref string, auth *Auth, tell func(any)) error {
	var options client.ImagePullOptions
	if auth != nil {
		encoded, err := authconfig.Encode(auth.config(registryOf(ref)))
		if err != nil {
			return err
		}
		options.RegistryAuth = encoded
	}
	stream, err := e.api.ImagePull(ctx, ref, options)
	if err != nil {
		return err
	}
	var sum layers
	for m, err := range stream.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return &answer{text: m.Error.Message}
		}
		if sum.add(m) {
			tell(sum.sum())
		}
	}
	return ctx.Err()
}

// pullError tells what kept an image from being pulled.
func pullError(ctx context.Context, op string, err error, auth *Auth) error {
	err = wrap(ctx, op, auth.redacted(err))
	failed, ok := err.(*Error) //nolint:errorlint // it is wrap's own
	if !ok {
		return err
	}
	switch {
	case failed.Kind == LoginRequired && auth != nil:
		return newError(LoginRefused, op, failed.Err)
	case failed.Kind == NotFound:
		return newError(ImageNotFound, op, failed.Err)
	}
	return failed
}
